"""Seventeen surface patterns and a plain surface, as functions of rotated and scaled coordinates."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from cocoop.demo.drawing.canvas import DRAWN, SIZE, SUPERSAMPLING

LEVEL_ANGLE = 0.25  # radians; bricks, scales and gradients are nearly horizontal
LEVEL = ("brick", "scaly", "gradient")
Y, X = (np.mgrid[0:DRAWN, 0:DRAWN] / DRAWN - 0.5).astype(np.float32)


@dataclass(frozen=True)
class Grid:
    """The coordinates of a pattern: u and v, rotated, scaled to `frequency` periods and shifted."""

    u: np.ndarray
    v: np.ndarray
    frequency: float
    phase: float
    rng: np.random.Generator

    def from_centre(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y relative to a random point near the middle."""
        dx, dy = self.rng.uniform(-0.2, 0.2, 2).tolist()
        return X - dx, Y - dy


def fraction(values: np.ndarray) -> np.ndarray:
    """The fractional part, which is the position within a period."""
    return values - np.floor(values)


def dotted(grid: Grid) -> np.ndarray:
    """Discs on a square lattice."""
    return np.hypot(fraction(grid.u) - 0.5, fraction(grid.v) - 0.5) < grid.rng.uniform(0.25, 0.36)


def mesh(grid: Grid) -> np.ndarray:
    """Thin crossing lines."""
    width = grid.rng.uniform(0.15, 0.25)
    return (fraction(grid.u) < width) | (fraction(grid.v) < width)


def ringed(grid: Grid) -> np.ndarray:
    """Rings around one point."""
    return fraction(np.hypot(*grid.from_centre()) * grid.frequency * 1.3 + grid.phase) < 0.5


def radial(grid: Grid) -> np.ndarray:
    """Rays from one point."""
    x, y = grid.from_centre()
    return fraction(np.arctan2(y, x) / (2 * pi) * grid.rng.integers(4, 9) + grid.phase) < 0.5


def speckled(grid: Grid) -> np.ndarray:
    """Random pixels in blocks of two by two."""
    blocks = grid.rng.random((SIZE // 2, SIZE // 2)) < grid.rng.uniform(0.3, 0.6)
    return np.kron(blocks, np.ones((2 * SUPERSAMPLING, 2 * SUPERSAMPLING)))


def brick(grid: Grid) -> np.ndarray:
    """Rows of bricks, every second one shifted by half a brick."""
    course = np.floor(grid.v * 1.3)
    return (fraction(grid.v * 1.3) > 0.2) & (fraction(grid.u * 0.7 + 0.5 * (course % 2)) > 0.12)


def honeycomb(grid: Grid) -> np.ndarray:
    """Discs on a hexagonal lattice."""
    row = grid.v / 1.732
    even = np.hypot(fraction(grid.u) - 0.5, (fraction(row) - 0.5) * 1.732)
    odd = np.hypot(fraction(grid.u + 0.5) - 0.5, (fraction(row + 0.5) - 0.5) * 1.732)
    return np.minimum(even, odd) < 0.42


def swirly(grid: Grid) -> np.ndarray:
    """Two spiral arms."""
    turn = np.arctan2(Y, X) / pi
    return fraction(turn + np.hypot(X, Y) * grid.frequency * 0.9 + grid.phase) < 0.5


def cracked(grid: Grid) -> np.ndarray:
    """Thin lines between the cells of random points."""
    points = grid.rng.uniform(-0.6, 0.6, (int(grid.frequency * 4), 2, 1, 1)).astype(np.float32)
    nearest = np.partition(np.hypot(X - points[:, 0], Y - points[:, 1]), 1, axis=0)
    return nearest[1] - nearest[0] > 0.035


def scaly(grid: Grid) -> np.ndarray:
    """Overlapping scales with a bright core."""
    row = np.floor(grid.v)
    distance = np.hypot(fraction(grid.u + 0.5 * (row % 2)) - 0.5, fraction(grid.v))
    return 0.6 * (distance < 0.5) + 0.4 * (distance < 0.35)


def gradient(grid: Grid) -> np.ndarray:
    """A gradient from one side to the other, in either direction."""
    ramp = (grid.u - grid.u.min()) / np.ptp(grid.u)
    return ramp if grid.rng.random() < 0.5 else 1 - ramp


PATTERNS: dict[str, Callable[[Grid], np.ndarray]] = {
    "plain": lambda grid: np.ones_like(grid.u),
    "striped": lambda grid: fraction(grid.u) < 0.5,
    "dotted": dotted,
    "checkered": lambda grid: (np.floor(grid.u) + np.floor(grid.v)) % 2,
    "grid": mesh,
    "zigzag": lambda grid: fraction(grid.v + 0.5 * np.abs(2 * fraction(grid.u) - 1)) < 0.5,
    "wavy": lambda grid: fraction(grid.v + 0.22 * np.sin(2 * pi * grid.u)) < 0.5,
    "ringed": ringed,
    "radial": radial,
    "speckled": speckled,
    "brick": brick,
    "honeycomb": honeycomb,
    "plaid": lambda grid: 0.5 * (fraction(grid.u * 0.7) < 0.5) + 0.5 * (fraction(grid.v * 0.7) < 0.5),
    "triangular": lambda grid: fraction(grid.u) < fraction(grid.v),
    "swirly": swirly,
    "cracked": cracked,
    "scaly": scaly,
    "gradient": gradient,
}
NAMES = tuple(PATTERNS)
PLAIN = NAMES.index("plain")


def mask(name: str, rng: np.random.Generator, frequency: tuple[float, float] = (3.0, 7.0)) -> np.ndarray:
    """A pattern over the whole canvas, float32 (64, 64); frequency: range of the number of periods across it."""
    periods = rng.uniform(*frequency)
    angle = rng.uniform(-LEVEL_ANGLE, LEVEL_ANGLE) if name in LEVEL else rng.uniform(0, pi)
    shift_u, shift_v = rng.uniform(0, 1, 2).tolist()
    u = (X * cos(angle) + Y * sin(angle)) * periods + shift_u
    v = (Y * cos(angle) - X * sin(angle)) * periods + shift_v
    values = np.asarray(PATTERNS[name](Grid(u, v, periods, shift_u, rng)), dtype=np.float32)
    return values.reshape(SIZE, SUPERSAMPLING, SIZE, SUPERSAMPLING).mean((1, 3))
