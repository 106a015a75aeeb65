"""Masks of letters and digits in the TrueType fonts of matplotlib, whose version is pinned, so they are the same everywhere."""

from functools import lru_cache
from math import cos, sin
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from cocoop.demo.drawing.canvas import DRAWN, blank, pick, to_mask

LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GLYPHS = LETTERS + tuple("0123456789")
PRETRAINING_FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "STIXGeneral", "cmss10",
)  # fmt: skip
OTHER_FONTS = ("STIXGeneralBolIta", "cmr10", "cmtt10", "cmb10", "STIXGeneralItalic")
POINTS = 96
MARGIN = 4


def mask(glyph: str, rng: np.random.Generator, fonts: tuple[str, ...] = PRETRAINING_FONTS) -> np.ndarray:
    """A glyph with random font, weight, size, position, slant and angle: float32 (64, 64)."""
    image = _weighted(_rendered(pick(rng, fonts), glyph), rng)
    height = rng.uniform(0.5, 0.92) * DRAWN
    width = min(height * image.width / image.height * rng.uniform(0.75, 1.3), 0.95 * DRAWN)
    image = image.resize((max(8, int(width)), int(height)))
    room = np.array([DRAWN - image.width, DRAWN - image.height])
    canvas = blank()
    canvas.paste(image, tuple((room * rng.uniform(0.25, 0.75, 2)).astype(int).tolist()))
    return to_mask(_slanted(canvas, rng.uniform(-0.2, 0.2), rng.uniform(-0.25, 0.25)))


@lru_cache(maxsize=1024)
def _rendered(font: str, glyph: str) -> Image.Image:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"
    face = ImageFont.truetype(str(path), POINTS)
    left, top, right, bottom = face.getbbox(glyph)
    image = Image.new("L", (int(right - left) + 2 * MARGIN, int(bottom - top) + 2 * MARGIN), 0)
    ImageDraw.Draw(image).text((MARGIN - left, MARGIN - top), glyph, font=face, fill=255)
    return image


def _weighted(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    chance = rng.random()
    if chance < 0.2:
        return image.filter(ImageFilter.MaxFilter(pick(rng, (3, 5, 7))))
    return image.filter(ImageFilter.MinFilter(3)) if chance < 0.35 else image


def _slanted(image: Image.Image, angle: float, shear: float) -> Image.Image:
    """Rotated and sheared about the centre."""
    matrix = np.array([[cos(angle), -sin(angle) + shear], [sin(angle), cos(angle)]])
    shift = DRAWN / 2 - matrix @ np.full(2, DRAWN / 2)
    coefficients = (*matrix[0], shift[0], *matrix[1], shift[1])
    return image.transform(image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
