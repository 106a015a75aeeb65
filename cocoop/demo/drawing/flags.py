"""Masks of two-colour flags in six layouts, slightly rotated and waving."""

from collections.abc import Callable
from math import cos, sin

import numpy as np

from cocoop.demo.drawing.canvas import SIZE

Layout = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
LAYOUTS: dict[str, Layout] = {
    "horizontal": lambda x, y, shift: y < shift,
    "vertical": lambda x, y, shift: x < shift,
    "diagonal": lambda x, y, shift: y < 0.95 * x + shift,
    "quartered": lambda x, y, shift: (x < shift) ^ (y < shift),
    "bordered": lambda x, y, shift: np.maximum(abs(x), abs(y)) > 0.3 + 0.6 * shift,
    "centered": lambda x, y, shift: np.hypot(x + shift, y) < 0.26 + 0.5 * shift,
}
NAMES = tuple(LAYOUTS)


def mask(layout: str, rng: np.random.Generator) -> np.ndarray:
    """The area of the first of the two colours: float32 (64, 64)."""
    shift, angle, wave = rng.uniform((-0.1, -0.12, 0), (0.1, 0.12, 6))
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1) - 0.5
    turned_x = x * cos(angle) + y * sin(angle)
    turned_y = y * cos(angle) - x * sin(angle) + 0.03 * np.sin(6 * turned_x + wave)
    return LAYOUTS[layout](turned_x, turned_y, shift).astype(np.float32)
