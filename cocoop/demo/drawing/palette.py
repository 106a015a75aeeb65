"""Colours with and without a name."""

import numpy as np

COLOURS = {
    "red": (220, 40, 40),
    "green": (50, 170, 60),
    "blue": (45, 80, 220),
    "yellow": (240, 220, 50),
    "orange": (245, 140, 30),
    "purple": (130, 50, 170),
    "pink": (245, 130, 180),
    "cyan": (60, 210, 220),
    "brown": (125, 75, 35),
    "black": (20, 20, 20),
    "white": (240, 240, 240),
    "gray": (128, 128, 128),
}
NAMES = tuple(COLOURS)
RGB = np.array(list(COLOURS.values()), dtype=np.float32) / 255  # (12, 3)
NEAREST_APART = 0.45


def rgb(name: str) -> np.ndarray:
    """float32 (3,) in 0..1."""
    return RGB[NAMES.index(name)]


def jitter(colours: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian jitter of (N, 3) colours, clipped to 0..1."""
    return np.clip(colours + amount * rng.standard_normal(colours.shape, dtype=np.float32), 0, 1)


def away_from(colours: np.ndarray, rng: np.random.Generator, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Random colours (N, 3) in low..high, at an RGB distance of at least 0.45 from `colours` if 50 tries suffice."""
    found = rng.uniform(low, high, colours.shape).astype(np.float32)
    for _ in range(50):
        near = np.linalg.norm(found - colours, axis=1) < NEAREST_APART
        if not near.any():
            break
        found[near] = rng.uniform(low, high, (int(near.sum()), 3))
    return found
