"""The canvas with its size, antialiasing by supersampling, and sampling helpers."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from PIL import Image

Choice = TypeVar("Choice")

SIZE = 64
SUPERSAMPLING = 2
DRAWN = SIZE * SUPERSAMPLING


def blank() -> Image.Image:
    """An empty supersampled canvas, 128 x 128, one channel."""
    return Image.new("L", (DRAWN, DRAWN), 0)


def to_mask(image: Image.Image) -> np.ndarray:
    """The supersampled canvas as an antialiased mask, float32 (64, 64) in 0..1."""
    return np.asarray(image.reduce(SUPERSAMPLING), dtype=np.float32) / 255


def pick(rng: np.random.Generator, choices: Sequence[Choice]) -> Choice:
    """A random choice; unlike `rng.choice`, it keeps the Python type and is fast for short lists."""
    return choices[int(rng.integers(len(choices)))]
