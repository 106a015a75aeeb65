"""Composes images from masks and degrades them: light, blur, contrast, noise, and systematic shifts.

All arrays are float32 in 0..1; images are (N, 64, 64, 3), masks (N, 64, 64), colours (N, 3).
"""

import numpy as np
from scipy.ndimage import gaussian_filter

from cocoop.demo.drawing.canvas import SIZE

LIGHT_KNOTS = 4


def compose(masks: np.ndarray, foreground: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Draws foregrounds on backgrounds; both are colours (N, 3) or images."""
    weight = masks[..., None]
    return _spread(background) * (1 - weight) + _spread(foreground) * weight


def lighting(number: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth random fields (N, 64, 64, 3) in -1..1, interpolated from random values at 4 x 4 knots."""
    knots = rng.uniform(-1, 1, (number, LIGHT_KNOTS, LIGHT_KNOTS, 3)).astype(np.float32)
    rows = LIGHT_WEIGHTS @ knots.reshape(number, LIGHT_KNOTS, -1)
    return LIGHT_WEIGHTS @ rows.reshape(number, SIZE, LIGHT_KNOTS, 3)


def blur(pictures: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, sigma in pixels."""
    return gaussian_filter(pictures, (0, sigma, sigma, 0), mode="nearest", truncate=3)


def contrast(pictures: np.ndarray, factor: float | np.ndarray) -> np.ndarray:
    """Contrast around mid-grey."""
    return (pictures - 0.5) * factor + 0.5


def noise(pictures: np.ndarray, amount: float | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian pixel noise with this standard deviation."""
    return pictures + amount * rng.standard_normal(pictures.shape, dtype=np.float32)


def false_colours(pictures: np.ndarray, channels: tuple[int, int, int]) -> np.ndarray:
    """Reorders the channels."""
    return pictures[..., channels]


def cast(pictures: np.ndarray, tint: tuple[float, float, float]) -> np.ndarray:
    """A colour cast: multiplies each channel by its component of the tint."""
    return pictures * np.asarray(tint, dtype=np.float32)


def edges(pictures: np.ndarray, gain: float = 5.0) -> np.ndarray:
    """A difference of Gaussians: bright edges on black."""
    return np.clip(np.abs(blur(pictures, 0.8) - blur(pictures, 2.0)) * gain, 0, 1)


def to_bytes(pictures: np.ndarray) -> np.ndarray:
    """uint8 (N, 64, 64, 3)."""
    return np.round(np.clip(pictures, 0, 1) * 255).astype(np.uint8)


def _spread(colours: np.ndarray) -> np.ndarray:
    return colours[:, None, None] if colours.ndim == 2 else colours


def _light_weights() -> np.ndarray:
    """(64, 4) interpolation weights: Gaussians around the knots with sum one."""
    position = np.linspace(0, LIGHT_KNOTS - 1, SIZE)[:, None]
    weights = np.exp(-2 * (position - np.arange(LIGHT_KNOTS)) ** 2)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


LIGHT_WEIGHTS = _light_weights()
