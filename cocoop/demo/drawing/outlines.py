"""Twenty-four shapes as polygons in the square -1..1 with y pointing down. A part that is not filled is a hole."""

from collections.abc import Callable
from math import cos, pi, sin
from typing import NamedTuple

import numpy as np

Points = np.ndarray  # (n, 2)


class Part(NamedTuple):
    """One polygon of a shape."""

    points: Points
    filled: bool = True


def polar(radius: Callable[[float], float], corners: int = 96) -> Points:
    """A closed curve defined by its radius at each angle."""
    angles = np.linspace(0, 2 * pi, corners, endpoint=False)
    return np.array([(radius(angle) * cos(angle), radius(angle) * sin(angle)) for angle in angles])


def ellipse(width: float, height: float, x: float = 0.0, y: float = 0.0) -> Points:
    """An ellipse with these half axes and this centre."""
    return polar(lambda _: 1.0) * (width, height) + (x, y)


def arc(radius: float, start: float, end: float, y: float = 0.0) -> Points:
    """Points on a circle around (0, y)."""
    return np.array([(radius * cos(angle), y + radius * sin(angle)) for angle in np.linspace(start, end, 40)])


def regular(corners: int, inner: float = 1.0, turn: float = 0.0) -> Points:
    """A regular polygon that stands on a side; with inner < 1, every second corner moves inwards (a star)."""
    angles = turn + 2 * pi * np.arange(corners) / corners - pi / 2
    radii = np.where(np.arange(corners) % 2 == 0, 1.0, inner)[:, None]
    return radii * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def corners(*points: tuple[float, float]) -> Points:
    """A polygon with these corners."""
    return np.array(points)


def heart() -> Points:
    """The common parametric heart curve."""
    turn = np.linspace(0, 2 * pi, 80, endpoint=False)
    height = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
    return np.stack([16 * np.sin(turn) ** 3, -height], axis=1) / 17


CROSS = corners(
    (-0.3, -0.95), (0.3, -0.95), (0.3, -0.3), (0.95, -0.3), (0.95, 0.3), (0.3, 0.3),
    (0.3, 0.95), (-0.3, 0.95), (-0.3, 0.3), (-0.95, 0.3), (-0.95, -0.3), (-0.3, -0.3),
)  # fmt: skip
ARROW = corners((-0.95, -0.25), (0.1, -0.25), (0.1, -0.7), (0.95, 0), (0.1, 0.7), (0.1, 0.25), (-0.95, 0.25))
BOLT = corners((0.15, -1), (-0.6, 0.15), (-0.05, 0.15), (-0.25, 1), (0.6, -0.2), (0.05, -0.2), (0.45, -1))
WALLS = corners((-0.7, 0.9), (-0.7, -0.1), (-0.95, -0.1), (0, -0.95), (0.95, -0.1), (0.7, -0.1), (0.7, 0.9))
DOOR = corners((-0.2, 0.9), (-0.2, 0.3), (0.2, 0.3), (0.2, 0.9))
TREE = corners((0, -1), (0.7, 0.4), (0.15, 0.4), (0.15, 0.95), (-0.15, 0.95), (-0.15, 0.4), (-0.7, 0.4))
HOURGLASS = corners((-0.7, -0.9), (0.7, -0.9), (0.1, 0), (0.7, 0.9), (-0.7, 0.9), (-0.1, 0))

SHAPES: dict[str, tuple[Part, ...]] = {
    "circle": (Part(ellipse(0.9, 0.9)),),
    "square": (Part(corners((-0.75, -0.75), (0.75, -0.75), (0.75, 0.75), (-0.75, 0.75))),),
    "triangle": (Part(regular(3)),),
    "star": (Part(regular(10, inner=0.42)),),
    "heart": (Part(heart()),),
    "diamond": (Part(corners((0, -1), (0.62, 0), (0, 1), (-0.62, 0))),),
    "pentagon": (Part(regular(5)),),
    "hexagon": (Part(regular(6, turn=0.52)),),
    "cross": (Part(CROSS),),
    "ring": (Part(ellipse(0.95, 0.95)), Part(ellipse(0.55, 0.55), filled=False)),
    "crescent": (Part(ellipse(0.95, 0.95)), Part(ellipse(0.8, 0.8, x=0.42), filled=False)),
    "arrow": (Part(ARROW),),
    "oval": (Part(ellipse(0.98, 0.54)),),
    "drop": (Part(np.concatenate([corners((0, -1)), arc(0.62, -0.35, pi + 0.35, y=0.35)])),),
    "clover": (Part(polar(lambda angle: 0.55 + 0.42 * abs(cos(2 * angle)))),),
    "flower": (Part(polar(lambda angle: 0.72 + 0.26 * cos(6 * angle))), Part(ellipse(0.2, 0.2), filled=False)),
    "gear": (
        Part(polar(lambda angle: 0.95 if cos(8 * angle) > 0 else 0.72, corners=240)),
        Part(ellipse(0.32, 0.32), filled=False),
    ),
    "bolt": (Part(BOLT),),
    "house": (Part(WALLS), Part(DOOR, filled=False)),
    "tree": (Part(TREE),),
    "fish": (Part(ellipse(0.75, 0.5, x=-0.1)), Part(corners((0.5, 0), (0.98, -0.5), (0.98, 0.5)))),
    "cloud": (
        Part(ellipse(0.45, 0.45, x=-0.45, y=0.15)),
        Part(ellipse(0.55, 0.55, x=0.05, y=-0.1)),
        Part(ellipse(0.4, 0.4, x=0.55, y=0.2)),
    ),
    "hourglass": (Part(HOURGLASS),),
    "mushroom": (
        Part(arc(0.95, pi, 2 * pi, y=0.05)),
        Part(corners((-0.25, 0.05), (0.25, 0.05), (0.32, 0.9), (-0.32, 0.9))),
    ),
}
