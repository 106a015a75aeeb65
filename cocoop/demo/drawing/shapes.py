"""Masks of one shape, filled or as a contour, and of several shapes of the same kind."""

from math import cos, sin

import numpy as np
from PIL import Image, ImageChops, ImageDraw
from scipy.ndimage import minimum_filter

from cocoop.demo.drawing.canvas import DRAWN, blank, pick, to_mask
from cocoop.demo.drawing.outlines import SHAPES

NAMES = tuple(SHAPES)
COUNTS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
PEN_WIDTHS = (5, 7, 9)  # in supersampled pixels; sizes of the erosion filter, so odd
IRREGULAR_PLURALS = {"cross": "crosses", "fish": "fish"}


def plural(name: str) -> str:
    """The plural of a shape's name."""
    return IRREGULAR_PLURALS.get(name, name + "s")


def mask(name: str, rng: np.random.Generator, *, turn: float = 0.5, contour: bool = False) -> np.ndarray:
    """A shape with random position, size, aspect ratio and angle (radians in -turn..turn): float32 (64, 64)."""
    image = _placed(name, rng, turn)
    return to_mask(_contour(image, pick(rng, PEN_WIDTHS)) if contour else image)


def contour_and_inside(name: str, rng: np.random.Generator, *, turn: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Masks of a shape's contour and of the complete shape, both float32 (64, 64)."""
    image = _placed(name, rng, turn)
    return to_mask(_contour(image, pick(rng, PEN_WIDTHS))), to_mask(image)


def count_mask(name: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` (2 to 6) small shapes in different cells of a 2 x 2 or 3 x 3 grid: float32 (64, 64)."""
    side = 2 if count <= 4 and rng.random() < 0.4 else 3
    cell = DRAWN / side
    radius = cell / 2 * rng.uniform(0.62, 0.92)
    image = blank()
    for number in rng.permutation(side * side)[:count]:
        slack = max(cell / 2 - 0.95 * radius, 0)
        centre = cell * (np.array([number % side, number // side]) + 0.5) + rng.uniform(-slack, slack, 2)
        single = blank()
        _draw(single, name, centre, radius * rng.uniform(0.85, 1), rng.uniform(-0.3, 0.3), 1.0)
        image = ImageChops.lighter(image, single)
    return to_mask(image)


def _placed(name: str, rng: np.random.Generator, turn: float) -> Image.Image:
    radius = rng.uniform(0.5, 0.92) * DRAWN / 2
    slack = DRAWN / 2 - 0.9 * radius
    centre = DRAWN / 2 + rng.uniform(-slack, slack, 2)
    image = blank()
    _draw(image, name, centre, radius, rng.uniform(-turn, turn), rng.uniform(0.85, 1.15))
    return image


def _draw(image: Image.Image, name: str, centre: np.ndarray, radius: float, angle: float, aspect: float) -> None:
    rotation = np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])
    pen = ImageDraw.Draw(image)
    for points, filled in SHAPES[name]:
        placed = centre + radius * (points * (aspect, 1)) @ rotation.T
        pen.polygon(placed.ravel().tolist(), fill=255 if filled else 0)


def _contour(image: Image.Image, width: int) -> Image.Image:
    filled = np.asarray(image)
    return Image.fromarray(filled - minimum_filter(filled, width, mode="nearest"))
