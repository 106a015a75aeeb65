"""Captions of scenes with varying length. A caption need not state all facts, so it can match several images."""

from typing import NamedTuple

import numpy as np

from cocoop.demo.drawing import flags, glyphs, palette, shapes, textures
from cocoop.demo.drawing.canvas import pick
from cocoop.demo.pretraining.scenes import FLAG, GLYPH, SHAPE, TEXTURE, Scene
from cocoop.demo.pretraining.wording import BACKGROUND, ENDINGS, FILLERS, LINE_OPENINGS, OPENINGS, SURFACES

FREE = -1
ANY = Scene(*[FREE] * len(Scene._fields))
LONG_SHARE = 0.25
LONG_WORDS = (8, 66)
TRAILING_SHARE = 0.2
MOST_TRAILING_WORDS = 14


class Caption(NamedTuple):
    """The text and the facts that it states (FREE for facts that it does not state)."""

    text: str
    stated: Scene


class Phrase(NamedTuple):
    """A noun phrase without its article. opening: the opening that the phrase requires, if any."""

    words: str
    stated: Scene
    plural: bool = False
    opening: str | None = None


def describe(scene: Scene, rng: np.random.Generator) -> Caption:
    """A random caption of the scene; a quarter of them are long, with up to 77 tokens."""
    phrase = _PHRASES[scene.kind](scene, rng)
    opening = pick(rng, OPENINGS) if phrase.opening is None else phrase.opening
    core = f"{opening} {_with_article(phrase, opening, rng)}"
    if rng.random() < LONG_SHARE:
        core = _wordy(core, rng)
    elif rng.random() < 0.04:
        core += f" {pick(rng, ENDINGS)}"
    stop = "." if rng.random() < 0.5 else ""
    return Caption(" ".join(core.split()) + stop, phrase.stated)


def canonical(scene: Scene) -> Scene:
    """The facts to compare captions with: the two colours of a texture or a flag have no order."""
    if scene.kind not in (TEXTURE, FLAG):
        return scene
    low, high = sorted((scene.colour, scene.second))
    return scene._replace(colour=low, second=high)


def matches(scenes: list[Scene], captions: list[Caption]) -> np.ndarray:
    """Whether each caption is true of each image: bool (images, captions)."""
    facts = np.array([canonical(scene) for scene in scenes])[:, None]
    stated = np.array([caption.stated for caption in captions])[None]
    return ((stated == FREE) | (stated == facts)).all(axis=2)


def _shape(scene: Scene, rng: np.random.Generator) -> Phrase:
    if scene.count > 1:
        return _several(scene, rng)
    says_colour, says_ground = rng.random() < 0.85, rng.random() < 0.2
    says_texture = scene.texture != textures.PLAIN and rng.random() < 0.85
    says_contour = bool(scene.contour) and rng.random() < 0.7
    words = [palette.NAMES[scene.colour]] * says_colour + [textures.NAMES[scene.texture]] * says_texture
    words += [shapes.NAMES[scene.main]] + [_ground(scene)] * says_ground
    stated = ANY._replace(
        kind=SHAPE,
        main=scene.main,
        count=1,
        colour=scene.colour if says_colour else FREE,
        texture=scene.texture if says_texture else FREE,
        second=scene.second if says_ground else FREE,
        contour=1 if says_contour else FREE,
    )
    return Phrase(" ".join(words), stated, opening=pick(rng, LINE_OPENINGS) if says_contour else None)


def _several(scene: Scene, rng: np.random.Generator) -> Phrase:
    says_colour = rng.random() < 0.6
    words = [shapes.COUNTS[scene.count], palette.NAMES[scene.colour] if says_colour else ""]
    words.append(shapes.plural(shapes.NAMES[scene.main]))
    stated = ANY._replace(kind=SHAPE, main=scene.main, count=scene.count)
    return Phrase(" ".join(words), stated._replace(colour=scene.colour) if says_colour else stated, plural=True)


def _glyph(scene: Scene, rng: np.random.Generator) -> Phrase:
    says_colour, says_ground = rng.random() < 0.4, rng.random() < 0.1
    digit = scene.main - len(glyphs.LETTERS)
    spelled = rng.random() < 0.8
    kind = "letter" if digit < 0 else pick(rng, ("digit", "digit", "number"))
    name = glyphs.DIGITS[digit] if digit >= 0 and spelled else glyphs.GLYPHS[scene.main].lower()
    words = [palette.NAMES[scene.colour]] * says_colour + [kind, name] + [_ground(scene)] * says_ground
    stated = ANY._replace(
        kind=GLYPH,
        main=scene.main,
        colour=scene.colour if says_colour else FREE,
        second=scene.second if says_ground else FREE,
    )
    return Phrase(" ".join(words), stated)


def _texture(scene: Scene, rng: np.random.Generator) -> Phrase:
    says_colours = rng.random() < 0.5
    words = f"{_two_colours(scene, rng) if says_colours else ''} {textures.NAMES[scene.texture]} {pick(rng, SURFACES)}"
    stated = ANY._replace(kind=TEXTURE, texture=scene.texture)
    return Phrase(words, _with_colours(stated, scene) if says_colours else stated)


def _flag(scene: Scene, rng: np.random.Generator) -> Phrase:
    says_layout = rng.random() < 0.8
    words = f"{flags.NAMES[scene.main] if says_layout else ''} {_two_colours(scene, rng)} flag"
    stated = ANY._replace(kind=FLAG, main=scene.main if says_layout else FREE)
    return Phrase(words, _with_colours(stated, scene))


_PHRASES = {SHAPE: _shape, GLYPH: _glyph, TEXTURE: _texture, FLAG: _flag}


def _two_colours(scene: Scene, rng: np.random.Generator) -> str:
    names = [palette.NAMES[scene.colour], palette.NAMES[scene.second]]
    return " and ".join(names if rng.random() < 0.6 else names[::-1])


def _with_colours(stated: Scene, scene: Scene) -> Scene:
    low, high = sorted((scene.colour, scene.second))
    return stated._replace(colour=low, second=high)


def _ground(scene: Scene) -> str:
    return BACKGROUND.format(palette.NAMES[scene.second])


def _with_article(phrase: Phrase, opening: str, rng: np.random.Generator) -> str:
    """a, an, the, or (15 %) no article, because learned contexts need not end with one."""
    words = phrase.words.strip()
    if phrase.plural or opening.split()[-1:] in (["the"], ["a"], ["large"], ["small"]):
        return words
    chance = rng.random()
    article = "an" if words[0] in "aeiou" else "a"
    return words if chance < 0.15 else f"the {words}" if chance < 0.4 else f"{article} {words}"


def _wordy(core: str, rng: np.random.Generator) -> str:
    """Adds filler before (and sometimes after) the core, as sentences or, in 40 % of cases, as shuffled words."""
    words: list[str] = []
    number = int(rng.integers(*LONG_WORDS, endpoint=True))
    while len(words) < number:
        words += pick(rng, FILLERS).split()
    words = words[-number:]
    if rng.random() < 0.4:
        words = [words[index] for index in rng.permutation(number)]
    after = int(rng.integers(1, MOST_TRAILING_WORDS)) if rng.random() < TRAILING_SHARE else 0
    return " ".join([*words[after:], core, *words[:after]])
