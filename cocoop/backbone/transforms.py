"""Transforms images to inputs of the image encoder: the test transform, and training views that only depend on a key.

Like the reference (Dassl, dassl/data/transforms/transforms.py:230-354), it computes torchvision's transforms of PIL images, so
resizing is antialiased. Training views are cropped by a copy of torchvision's transforms that leaves out what does not change
the pixels, because there are many of them.
"""

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from cocoop import io

# dassl/config/defaults.py:40; the aspect ratio is torchvision's default, as in the reference.
CROP_SCALE = (0.08, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)
FLIP_PROBABILITY = 0.5
TRIES = 10  # as in torchvision's RandomResizedCrop

RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of an image encoder.

    Attributes:
        size: side length of the square input in pixels.
        mean, std: mean and standard deviation of the channels (RGB, 0..1).
        interpolation: bicubic or bilinear.
        resize: "shortest" (resize the shorter side, crop the centre) or "squash" (resize to a square, as in SigLIP).
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    resize: str = "shortest"

    @property
    def settings(self) -> dict[str, Any]:
        """JSON values that determine the pixels."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    def test(self, image: Image.Image) -> np.ndarray:
        """The reference's test transform before normalisation: an RGB image to (3, H, W) uint8."""
        mode = InterpolationMode(self.interpolation)
        if self.resize == "squash":
            return _pixels(transforms.Resize((self.size, self.size), mode)(image))
        return _pixels(transforms.CenterCrop(self.size)(transforms.Resize(self.size, mode)(image)))

    def view(self, image: Image.Image, key: int) -> np.ndarray:
        """The reference's training transform before normalisation, with random numbers from `view_key`: (3, H, W) uint8."""
        window = draw_window(image.width, image.height, key)
        crop = image.crop(window.box).resize((self.size, self.size), RESAMPLING[self.interpolation])
        return _pixels(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if window.mirrored else crop)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Scales (..., 3, H, W) uint8 to 0..1, subtracts the mean and divides by the std: float32 on the same device."""
        mean, std = (_of_channels(values, pixels.device) for values in (self.mean, self.std))
        return pixels.float().div(255).sub_(mean).div_(std)


@lru_cache(maxsize=8)
def _of_channels(values: tuple[float, float, float], device: torch.device) -> torch.Tensor:
    """(3, 1, 1), made once: a copy to a GPU from ordinary memory waits until the GPU has done all its work."""
    return torch.tensor(values, device=device).view(3, 1, 1)


class Window(NamedTuple):
    """A view of an image: left, top, right and bottom in pixels, and whether it is mirrored."""

    box: tuple[int, int, int, int]
    mirrored: bool


def draw_window(width: int, height: int, key: int) -> Window:
    """The crop and flip that torchvision's RandomResizedCrop and RandomHorizontalFlip draw after `torch.manual_seed(key)`."""
    draw = torch.Generator().manual_seed(key)
    box = _drawn_box(width, height, draw) or _central_box(width, height)
    return Window(box, torch.rand(1, generator=draw).item() < FLIP_PROBABILITY)


def _drawn_box(width: int, height: int, draw: torch.Generator) -> tuple[int, int, int, int] | None:
    number, (low, high) = torch.empty(1), _LOG_RATIO
    for _ in range(TRIES):
        area = width * height * number.uniform_(*CROP_SCALE, generator=draw).item()
        ratio = number.uniform_(low, high, generator=draw).exp_().item()
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top = int(torch.randint(height - h + 1, (1,), generator=draw).item())
            left = int(torch.randint(width - w + 1, (1,), generator=draw).item())
            return left, top, left + w, top + h
    return None


def _central_box(width: int, height: int) -> tuple[int, int, int, int]:
    """The largest central part with an allowed ratio, for an image so long that no crop fits."""
    least, most = CROP_RATIO
    w, h = min(width, round(height * most)), min(height, round(width / least))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


_LOG_RATIO = torch.tensor(CROP_RATIO).log().tolist()  # float32, as torchvision computes it


def view_key(seed: int, path: str, epoch: int) -> int:
    """The random seed for the view of an image in an epoch, which does not depend on workers, order or hardware.

    path: the image's path in the manifest. The key has 32 bits because torch's generator does not use more.
    """
    return int(io.sha256_text(io.canonical_json([seed, path, epoch]))[:8], 16)


def _pixels(image: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))  # (3, H, W)
