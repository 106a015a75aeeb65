"""Measures images per second of a random ViT-B/16 on this device, and of decoding and cropping in one process, without data."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from tabulate import tabulate

from cocoop.backbone import model as backbone
from cocoop.backbone.transforms import Preprocessing, view_key
from cocoop.bench import timing
from cocoop.config.specs import BackboneSpec
from cocoop.data.images import open_rgb

VIT_B16 = BackboneSpec("bench", "ViT-B-16-quickgelu", None)
BATCH = {"cpu": 8, "cuda": 64}  # on a GPU, the batch size of the stages; smaller batches are as fast on a CPU
PRECISIONS = {"cpu": ("fp32",), "cuda": ("fp32", "bf16")}
WIDTH, HEIGHT, GRAIN, QUALITY = (
    500,
    375,
    12,
    90,
)  # the typical size of an ImageNet photo; the files have 90 kB, similar to photos
PICTURES = 32
REPEATS = 3
SEED = 0


@dataclass(frozen=True)
class Measured:
    """Measurements.

    Attributes:
        batch: images per batch.
        tower: seconds per batch in the image encoder, by precision.
        picture: seconds that one process takes to decode an image.
        view: seconds that one process takes to crop a view from a decoded image.
        model: the architecture of the image encoder.
    """

    batch: int
    tower: Mapping[str, float]
    picture: float
    view: float
    model: str = VIT_B16.model

    def record(self) -> dict[str, Any]:
        """JSON values for the output file, which cocoop.planning.cost.image_rate reads."""
        rows = [
            {"precision": precision, "batch": self.batch, "seconds": seconds, "images_per_second": self.batch / seconds}
            for precision, seconds in self.tower.items()
        ]
        decoding = {"width": WIDTH, "height": HEIGHT, "picture_seconds": self.picture, "view_seconds": self.view}
        return {"model": self.model, "tower": rows, "decoding": decoding}


def measure(device: str, spec: BackboneSpec = VIT_B16) -> Measured:
    """Measures the image encoder and then decoding."""
    batch, tower = BATCH[device], {}
    for precision in PRECISIONS[device]:
        tower[precision], preprocessing = _tower(spec, precision, device, batch)
    picture, view = _decoding(preprocessing)
    return Measured(batch, tower, picture, view, spec.model)


def rendered(measured: Measured) -> str:
    """The measurements as a Markdown table."""
    rows = [
        [f"ViT-B/16, {precision}, batch {measured.batch}, on the device", f"{measured.batch / seconds:,.1f}"]
        for precision, seconds in measured.tower.items()
    ]
    rows.append([f"decoding JPEGs of {WIDTH} x {HEIGHT} pixels, in one process", f"{1 / measured.picture:,.1f}"])
    rows.append(["cutting training views from decoded pictures, in one process", f"{1 / measured.view:,.1f}"])
    return tabulate(rows, ["images", "a second"], "pipe", disable_numparse=True, colalign=["left", "right"])


def _tower(spec: BackboneSpec, precision: str, device: str, batch: int) -> tuple[float, Preprocessing]:
    """Seconds from a batch of pixels in CPU memory to features, and the preprocessing of the image encoder."""
    with backbone.quiet():  # it warns about random weights, which are intended here
        model = backbone.load(replace(spec, precision=precision), device)
    size = model.preprocessing.size
    random = torch.Generator().manual_seed(SEED)
    pixels = torch.randint(256, (batch, 3, size, size), dtype=torch.uint8, generator=random)  # (B, 3, H, W)
    pixels = pixels.pin_memory() if device == "cuda" else pixels

    def run() -> torch.Tensor:
        return model.encode_images(model.preprocessing.normalise(pixels.to(model.device, non_blocking=True)))

    return _median(run, device), model.preprocessing


def _decoding(preprocessing: Preprocessing) -> tuple[float, float]:
    """Seconds that one process takes to decode an image file, and to crop a view from a decoded image."""
    with tempfile.TemporaryDirectory() as folder:
        paths = draw(Path(folder), PICTURES)
        decoded = [open_rgb(path) for path in paths]
        keys = [view_key(SEED, path.name, 0) for path in paths]

        def views() -> None:
            for image, key in zip(decoded, keys, strict=True):
                preprocessing.view(image, key)

        picture = _median(lambda: [open_rgb(path) for path in paths], "cpu") / PICTURES
        return picture, _median(views, "cpu") / PICTURES


def _median(run: Callable[[], Any], device: str) -> float:
    run()
    return median(timing.seconds(run, device) for _ in range(REPEATS))


def draw(folder: Path, count: int) -> Sequence[Path]:
    """Writes JPEG files with the dimensions and about the file size of a photo: noise at several scales."""
    random = np.random.default_rng(SEED)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path in paths:
        coarse = random.integers(0, 256, (HEIGHT // GRAIN, WIDTH // GRAIN, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=float)
        noisy = smooth + random.normal(0, GRAIN, smooth.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=QUALITY)
    return paths
