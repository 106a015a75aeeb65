"""Painters of the miniature datasets. Every painter returns float32 images (number, 64, 64, 3) in 0..1."""

from collections.abc import Callable

import numpy as np

from cocoop.demo.drawing import glyphs, palette, photo, shapes, textures

Painter = Callable[[str, int, np.random.Generator], np.ndarray]
Shift = Callable[[np.ndarray], np.ndarray]
SINGULAR = {shapes.plural(name): name for name in shapes.NAMES}
COUNT_OF = {word: number for number, word in shapes.COUNTS.items()}


def shifted(painter: Painter, shift: Shift) -> Painter:
    """A painter followed by a systematic change of the image."""
    return lambda name, number, rng: np.clip(shift(painter(name, number, rng)), 0, 1)


def candlelight(pictures: np.ndarray) -> np.ndarray:
    """A strong warm cast."""
    return photo.cast(pictures, (1.0, 0.6, 0.25))


def night(pictures: np.ndarray) -> np.ndarray:
    """Little and bluish light."""
    return photo.cast(pictures, (0.22, 0.22, 0.3))


def swapped(pictures: np.ndarray) -> np.ndarray:
    """Green and blue swapped."""
    return photo.false_colours(pictures, (0, 2, 1))


def neon(pictures: np.ndarray) -> np.ndarray:
    """Only glowing edges on black."""
    return photo.edges(pictures)


def shape(name: str, number: int, rng: np.random.Generator) -> np.ndarray:
    """A "red star": the shape in its colour on a background of a clearly different colour in uneven light."""
    colour, main = name.split()
    masks = np.stack([shapes.mask(main, rng) for _ in range(number)])
    inks = palette.jitter(np.tile(palette.rgb(colour), (number, 1)), 0.06, rng)
    return _lit(masks, inks, palette.away_from(inks, rng), rng)


def sketch(name: str, number: int, rng: np.random.Generator) -> np.ndarray:
    """A "red star": a dark contour with loose hatching in the shape's colour, on paper."""
    colour, main = name.split()
    contours, insides = zip(*(shapes.contour_and_inside(main, rng) for _ in range(number)), strict=True)
    hatching = np.stack([textures.mask("striped", rng, (9.0, 13.0)) for _ in range(number)])
    inks = palette.jitter(np.tile(palette.rgb(colour), (number, 1)), 0.06, rng)
    papers = palette.jitter(np.full((number, 3), 0.9, dtype=np.float32), 0.04, rng)
    hatched = _lit(0.6 * np.stack(insides) * hatching, inks, papers, rng)
    return photo.compose(np.stack(contours), np.full((number, 3), 0.15, dtype=np.float32), hatched)


def count(name: str, number: int, rng: np.random.Generator) -> np.ndarray:
    """The stars of "three stars": this number of small shapes, embossed."""
    word, plural = name.split()
    return _embossed([shapes.count_mask(SINGULAR[plural], COUNT_OF[word], rng) for _ in range(number)], rng)


def texture(name: str, number: int, rng: np.random.Generator) -> np.ndarray:
    """A "striped texture": the pattern, embossed."""
    return _embossed([textures.mask(name.split()[0], rng) for _ in range(number)], rng)


def letter(name: str, number: int, rng: np.random.Generator) -> np.ndarray:
    """A "letter a": a capital letter in an unseen font and any colour."""
    glyph = name.split()[-1].upper()
    masks = np.stack([glyphs.mask(glyph, rng, glyphs.OTHER_FONTS) for _ in range(number)])
    inks = rng.uniform(0, 1, (number, 3)).astype(np.float32)
    return _lit(masks, inks, palette.away_from(inks, rng), rng)


def _embossed(masks: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """The masks embossed in one material with light from the upper left: only edges are visible."""
    heights = photo.blur(np.stack(masks)[..., None], 0.7)
    padded = np.pad(heights, ((0, 0), (2, 0), (2, 0), (0, 0)), mode="edge")
    material = rng.uniform(0.25, 0.75, (len(masks), 1, 1, 3)).astype(np.float32)
    lit = material * (1 + 0.3 * photo.lighting(len(masks), rng))
    return np.clip(lit + 0.45 * (heights - padded[:, :-2, :-2]), 0, 1)


def _lit(masks: np.ndarray, inks: np.ndarray, grounds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    light = photo.lighting(len(masks), rng)
    return np.clip(photo.compose(masks, inks, grounds[:, None, None] + 0.12 * light), 0, 1)
