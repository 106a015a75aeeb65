"""Random scenes of pretraining images, described by seven numbers and rendered to pixels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cocoop.demo.drawing import flags, glyphs, palette, photo, shapes, textures
from cocoop.demo.drawing.canvas import SIZE, pick

SHAPE, GLYPH, TEXTURE, FLAG = range(4)
BLACK, WHITE, GRAY = (palette.NAMES.index(name) for name in ("black", "white", "gray"))
CONTOUR_SHARE = 0.25
WHOLE = np.ones((SIZE, SIZE), dtype=np.float32)


class Scene(NamedTuple):
    """The facts that a caption may state, as indices into the names of the drawing modules.

    second: colour of the background, or second colour of a texture or a flag.
    count: number of shapes, else 0.
    contour: 1 for a shape drawn as an outline, else 0.
    """

    kind: int
    main: int
    colour: int
    texture: int
    count: int  # type: ignore[assignment]  # hides tuple.count
    second: int
    contour: int


def sample(rng: np.random.Generator) -> Scene:
    """A random scene: 40 % one shape, 22 % a glyph, 13 % a texture, 13 % two to six shapes, 12 % a flag."""
    colour = int(rng.integers(len(palette.NAMES)))
    second = pick(rng, [other for other in range(len(palette.NAMES)) if other != colour])
    chance = rng.random()
    if chance < 0.40:
        return _one_shape(colour, second, rng)
    if chance < 0.62:
        return Scene(GLYPH, int(rng.integers(len(glyphs.GLYPHS))), colour, textures.PLAIN, 0, second, 0)
    if chance < 0.75:
        return Scene(TEXTURE, 0, colour, int(rng.integers(1, len(textures.NAMES))), 0, second, 0)
    if chance < 0.88:
        count = pick(rng, tuple(shapes.COUNTS))
        return Scene(SHAPE, int(rng.integers(len(shapes.NAMES))), colour, textures.PLAIN, count, second, 0)
    return Scene(FLAG, int(rng.integers(len(flags.NAMES))), colour, textures.PLAIN, 0, second, 0)


def _one_shape(colour: int, second: int, rng: np.random.Generator) -> Scene:
    main = int(rng.integers(len(shapes.NAMES)))
    if rng.random() < CONTOUR_SHARE:
        if rng.random() < 0.5:
            second = WHITE if colour != WHITE else BLACK
        return Scene(SHAPE, main, colour, textures.PLAIN, 1, second, 1)
    texture = textures.PLAIN if rng.random() < 0.5 else int(rng.integers(1, len(textures.NAMES)))
    return Scene(SHAPE, main, colour, texture, 1, second, 0)


def render(scenes: Sequence[Scene], rng: np.random.Generator) -> np.ndarray:
    """Images of the scenes, (N, 64, 64, 3) in 0..1, with random light, blur, contrast and noise."""
    number = len(scenes)
    masks, patterns, accents = (np.stack(layers) for layers in zip(*(_layers(s, rng) for s in scenes), strict=True))
    first = palette.jitter(palette.RGB[[scene.colour for scene in scenes]], 0.06, rng)
    ground = palette.jitter(palette.RGB[[scene.second for scene in scenes]], 0.06, rng)
    foreground = photo.compose(patterns, first, palette.jitter(accents, 0.06, rng))
    uneven = 0.25 * rng.random((number, 1, 1, 1), dtype=np.float32) * (rng.random((number, 1, 1, 1)) < 0.5)
    background = ground[:, None, None] + uneven * photo.lighting(number, rng)
    return _photographed(photo.compose(masks, foreground, background), rng)


def _layers(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mask and pattern (64, 64) and the pattern's second colour (3,)."""
    ground = palette.RGB[scene.second]
    if scene.kind == TEXTURE:
        return WHOLE, textures.mask(textures.NAMES[scene.texture], rng), ground
    if scene.kind == FLAG:
        return flags.mask(flags.NAMES[scene.main], rng), WHOLE, ground
    if scene.kind == GLYPH:
        pattern = textures.mask(pick(rng, textures.NAMES[1:]), rng) if rng.random() < 0.15 else WHOLE
        return glyphs.mask(glyphs.GLYPHS[scene.main], rng), pattern, palette.RGB[scene.colour] * 0.6 + 0.2
    name = shapes.NAMES[scene.main]
    if scene.count > 1:
        return shapes.count_mask(name, scene.count, rng), WHOLE, ground
    pattern = textures.mask(textures.NAMES[scene.texture], rng) if scene.texture != textures.PLAIN else WHOLE
    accent = ground if rng.random() < 0.3 else _accent(scene.colour, rng)
    return shapes.mask(name, rng, contour=bool(scene.contour)), pattern, accent


def _accent(colour: int, rng: np.random.Generator) -> np.ndarray:
    """The second colour of a textured shape: black or white, so that the caption's colour remains correct."""
    if colour in (BLACK, WHITE):
        return 1 - palette.RGB[colour]
    return palette.RGB[pick(rng, (BLACK, WHITE))]


def _photographed(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    number = len(pictures)
    for index in np.flatnonzero(rng.random(number) < 0.35):
        pictures[index : index + 1] = photo.blur(pictures[index : index + 1], rng.uniform(0.5, 2.2))
    exposure = rng.uniform((0.55, -0.12, 0), (1.1, 0.12, 0.12), (number, 3)).astype(np.float32)
    factor, shift, amount = exposure.T[:, :, None, None, None]
    return np.clip(photo.noise(photo.contrast(pictures, factor) + shift, amount, rng), 0, 1)
