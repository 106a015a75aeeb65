"""Transforms images to inputs of the image encoder: the test transform, and training views that only depend on a key.

Like the reference (Dassl, dassl/data/transforms/transforms.py:230-354), it uses torchvision's transforms of PIL images, so
resizing is antialiased.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

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
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(key)  # torch.manual_seed would also seed GPUs
            return _pixels(self._augmentation(image))

    @cached_property
    def _augmentation(self) -> transforms.Compose:
        mode = InterpolationMode(self.interpolation)
        crop = transforms.RandomResizedCrop(self.size, CROP_SCALE, CROP_RATIO, mode)
        return transforms.Compose([crop, transforms.RandomHorizontalFlip(FLIP_PROBABILITY)])

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Scales (..., 3, H, W) uint8 to 0..1, subtracts the mean and divides by the std: float32 on the same device."""
        mean = torch.tensor(self.mean, device=pixels.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(3, 1, 1)
        return pixels.float().div(255).sub_(mean).div_(std)


def view_key(seed: int, path: str, epoch: int) -> int:
    """The random seed for the view of an image in an epoch, which does not depend on workers, order or hardware.

    path: the image's path in the manifest. The key has 32 bits because torch's generator does not use more.
    """
    return int(io.sha256_text(io.canonical_json([seed, path, epoch]))[:8], 16)


def _pixels(image: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))  # (3, H, W)
