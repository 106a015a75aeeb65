"""Images per second: decoded alone, encoded alone, and both at once, as the stages `features` and `views` do."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cocoop.backbone import model as backbone
from cocoop.backbone.model import Backbone
from cocoop.bench import timing
from cocoop.images import features, views
from cocoop.images.decoding import Decoder, Task
from cocoop.images.extraction import BATCH_SIZE
from cocoop.manifest import Manifest
from cocoop.splits import load_few_shot
from on_gpu.table1 import Made

SUBSET, SEED = "base", 1


@dataclass(frozen=True)
class Rate:
    """Images per second of one kind; `together` includes writing the file, and is at most the smaller of the others."""

    what: str
    decoded: float
    encoded: float
    together: float


def rates(table: Made, device: str, workers: int, per_image: int) -> list[Rate]:
    """Of the test pictures, and of `per_image` training views of each training picture, of the table's first dataset."""
    with backbone.quiet():  # it warns about random weights, which are intended here
        model = backbone.load(table.backbone, device)
    name, scratch = table.names[0], table.folder / "scratch"
    of_dataset, root = table.folder / "results/datasets" / name, table.folder / "data" / name
    manifest = Manifest.load(next(of_dataset.glob("*/manifest.json")))
    selection = load_few_shot(next(of_dataset.glob(f"*/fewshot/*seed{SEED}.json")))
    chosen, epochs = views.select(manifest, selection, SUBSET), range(per_image)

    def test(out: Path) -> None:
        features.extract_test(model, manifest, root, "test", out, workers=workers)

    def train(out: Path) -> None:
        views.extract(model, manifest, root, {SEED: selection}, SUBSET, epochs, out, workers=workers)

    tested = [Task(root / item.path) for item in manifest.splits["test"]]
    trained = views.tasks(root, SEED, chosen, epochs)
    encoded = _encoded(model, device)
    return [
        Rate("test pictures", _decoded(model, tested, workers), encoded, _together(test, len(tested), scratch)),
        Rate(
            f"training views, {per_image} of a picture",
            _decoded(model, trained, workers), encoded, _together(train, len(trained) * per_image, scratch),
        ),
    ]  # fmt: skip


def _decoded(model: Backbone, tasks: list[Task], workers: int) -> float:
    """Crops a second from the decoding processes alone, with their start."""
    size = max(1, BATCH_SIZE // tasks[0].views)
    batches = [tasks[at : at + size] for at in range(0, len(tasks), size)]
    start = time.perf_counter()
    crops = sum(map(len, Decoder(model.preprocessing, workers, "pictures").crops(batches)))
    return crops / (time.perf_counter() - start)


def _encoded(model: Backbone, device: str) -> float:
    """Images a second from pixels in CPU memory to features, in batches of a stage."""
    side = model.image_size
    pixels = torch.zeros(BATCH_SIZE, 3, side, side, dtype=torch.uint8)  # (B, 3, H, W)

    def run() -> Any:
        return model.encode_images(model.preprocessing.normalise(pixels.to(model.device)))

    run()
    return BATCH_SIZE / min(timing.seconds(run, device) for _ in range(3))


def _together(extract: Callable[[Path], None], count: int, scratch: Path) -> float:
    start = time.perf_counter()
    extract(scratch / f"{count}.safetensors")
    return count / (time.perf_counter() - start)
