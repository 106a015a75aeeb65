"""The miniature datasets: classes in a fixed order, prompt, and the difference to the pretraining images.

The order was fixed before any method was run: properties that must differ between base and new classes (the objects)
alternate between them, and properties that must not (the six colours, the five counts) are equally frequent in both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cocoop.demo.drawing import glyphs, shapes, textures
from cocoop.demo.miniatures import paint

Painter = Callable[[str, int, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Miniature:
    """A drawn dataset.

    Attributes:
        title: name in tables.
        template: the prompt.
        gap: systematic difference to the pretraining images.
        classes: names in label order.
        paint: (class name, number, generator) -> images (number, 64, 64, 3) in 0..1; None for real images.
    """

    title: str
    template: str
    gap: str
    classes: tuple[str, ...]
    paint: Painter | None


def alternating(names: Sequence[str]) -> list[str]:
    """Every second name (the base classes), followed by the others (the new classes)."""
    return [*names[::2], *names[1::2]]


def _coloured_shapes() -> tuple[str, ...]:
    """Twelve shapes in two colours each; base and new classes have six shapes and every colour twice."""
    colours = ("red", "green", "blue", "yellow", "purple", "white")
    objects = alternating(
        ["star", "heart", "circle", "arrow", "cross", "crescent", "house", "flower", "gear", "bolt", "fish", "tree"]
    )
    return tuple(f"{colours[(place + step) % 6]} {name}" for place, name in enumerate(objects) for step in (0, 2))


def _counted_shapes() -> tuple[str, ...]:
    """Two to six of four shapes in a chessboard order, so that base and new classes have every count twice."""
    cells = [
        ((row + count) % 2, f"{word} {shapes.plural(name)}")
        for row, name in enumerate(("star", "circle", "heart", "square"))
        for count, word in shapes.COUNTS.items()
    ]
    return tuple(name for half in (0, 1) for side, name in cells if side == half)


SHAPES = _coloured_shapes()
NOT_EMBOSSED = {"plain", "gradient"}  # they have no edges
TEXTURES = tuple(f"{name} texture" for name in alternating(sorted(set(textures.NAMES) - NOT_EMBOSSED)))
LETTERS = tuple(f"letter {name.lower()}" for name in alternating([name for name in glyphs.LETTERS if name not in "IO"]))
COUNTS = _counted_shapes()
DIGITS = tuple(f"digit {name}" for name in glyphs.DIGITS)

MINIATURES: dict[str, Miniature] = {
    "digits": Miniature(
        "Digits",
        "a photo of the {}.",
        "real handwriting (scikit-learn's digits, 8 x 8 pixels enlarged), where pretraining saw printed digits only",
        DIGITS,
        None,
    ),
    "shapes": Miniature(
        "Shapes",
        "a photo of a {}.",
        "candlelight; green is weak and blue nearly gone, so that white, yellow and orange look alike",
        SHAPES,
        paint.shifted(paint.shape, paint.candlelight),
    ),
    "shapes_swapped": Miniature(
        "Shapes (swapped)",
        "a photo of a {}.",
        "false colours; the green and the blue channel change places, so that only red and white keep their names",
        SHAPES,
        paint.shifted(paint.shape, paint.swapped),
    ),
    "shapes_sketch": Miniature(
        "Shapes (sketch)",
        "a photo of a {}.",
        "pencil drawings; a dark contour and loose hatching in the colour, on paper, instead of a filled shape",
        SHAPES,
        paint.sketch,
    ),
    "shapes_dark": Miniature(
        "Shapes (dark)",
        "a photo of a {}.",
        "night; a quarter of the light, slightly blue",
        SHAPES,
        paint.shifted(paint.shape, paint.night),
    ),
    "textures": Miniature(
        "Textures",
        "a photo of a {}.",
        "embossed in one material; only light and shadow at the pattern's edges, no two colours",
        TEXTURES,
        paint.texture,
    ),
    "letters": Miniature(
        "Letters",
        "a photo of the {}.",
        "neon signs in fonts that pretraining never saw; glowing edges on black (without I and O, as on number plates)",
        LETTERS,
        paint.shifted(paint.letter, paint.neon),
    ),
    "counts": Miniature(
        "Counts",
        "a photo of {}.",
        "embossed in one material; only light and shadow at the edges, no colour of their own",
        COUNTS,
        paint.count,
    ),
}
