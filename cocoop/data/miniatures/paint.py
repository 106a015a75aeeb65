"""How the miniature datasets' pictures are painted. Every painter returns float32 (number, 64, 64, 3) in 0..1."""

from collections.abc import Callable

import numpy as np

from cocoop.drawing import glyphs, palette, photo, shapes, textures

Painter = Callable[[str, int, np.random.Generator], np.ndarray]
Shift = Callable[[np.ndarray], np.ndarray]
SINGULAR = {shapes.plural(name): name for name in shapes.NAMES}
COUNT_OF = {word: number for number, word in shapes.COUNTS.items()}


def shifted(painter: Painter, shift: Shift) -> Painter:
    """A painter followed by a systematic change of the whole picture."""
    return lambda name, number, rng: np.clip(shift(painter(name, number, rng)), 0, 1)


def candlelight(pictures: np.ndarray) -> np.ndarray:
    """A strong warm cast."""
    return photo.cast(pictures, (1.0, 0.6, 0.25))


def night(pictures: np.ndarray) -> np.ndarray:
    """Little light, and bluish."""
    return photo.cast(pictures, (0.22, 0.22, 0.3))


def negative(pictures: np.ndarray) -> np.ndarray:
    """The photographic negative."""
    return photo.negative(pictures)


def shape(name: str, number: int, rng: np.random.Generator) -> np.ndarray:
    """"red star": the shape in its colour on ground of any clearly different colour under uneven light."""
    colour, main = name.split()
    masks = np.stack([shapes.mask(main, rng) for _ in range(number)])
    inks = palette.jitter(np.tile(palette.rgb(colour), (number, 1)), 0.06, rng)
    return _lit(masks, inks, palette.away_from(inks, rng), rng)


def sketch(name: str, number: int, rng: np.random.Generator) -> np.ndarray:
    """"red star": a contour with hatching inside, in its colour, on white paper (light colours: on black paper)."""
    colour, main = name.split()
    layers = [_hatched(main, rng) for _ in range(number)]
    inks = palette.jitter(np.tile(palette.rgb(colour), (number, 1)), 0.06, rng)
    paper = 0.08 if colour in ("white", "yellow") else 0.92
    papers = np.full((number, 3), paper, dtype=np.float32)
    return _lit(np.stack(layers), inks, palette.jitter(papers, 0.03, rng), rng)


def count(name: str, number: int, rng: np.random.Generator) -> np.ndarray:
    """"three stars": so many small shapes in one colour without a name."""
    word, plural = name.split()
    masks = np.stack([shapes.count_mask(SINGULAR[plural], COUNT_OF[word], rng) for _ in range(number)])
    inks = rng.uniform(0, 1, (number, 3)).astype(np.float32)
    return _lit(masks, inks, palette.away_from(inks, rng), rng)


def letter(name: str, number: int, rng: np.random.Generator) -> np.ndarray:
    """"letter a": a capital letter of an unseen font in any colour."""
    glyph = name.split()[-1].upper()
    masks = np.stack([glyphs.mask(glyph, rng, glyphs.OTHER_FONTS) for _ in range(number)])
    inks = rng.uniform(0, 1, (number, 3)).astype(np.float32)
    return _lit(masks, inks, palette.away_from(inks, rng), rng)


def embossed(name: str, number: int, rng: np.random.Generator) -> np.ndarray:
    """"striped texture": the pattern pressed into one material, lit from the upper left."""
    heights = np.stack([textures.mask(name.split()[0], rng) for _ in range(number)])[..., None]
    soft = photo.blur(heights, 0.7)
    padded = np.pad(soft, ((0, 0), (2, 0), (2, 0), (0, 0)), mode="edge")
    relief = soft - padded[:, :-2, :-2]
    material = rng.uniform(0.25, 0.75, (number, 1, 1, 3)).astype(np.float32)
    return np.clip(material * (1 + 0.3 * photo.lighting(number, rng)) + 0.45 * relief, 0, 1)


def _hatched(main: str, rng: np.random.Generator) -> np.ndarray:
    contour, inside = shapes.contour_and_inside(main, rng)
    return np.maximum(contour, inside * textures.mask("striped", rng, (9.0, 13.0)) * 0.8)


def _lit(masks: np.ndarray, inks: np.ndarray, grounds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    light = photo.lighting(len(masks), rng)
    return np.clip(photo.compose(masks, inks, grounds[:, None, None] + 0.12 * light), 0, 1)
