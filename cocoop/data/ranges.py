"""Scales the values of an image to 0..255; `python -m cocoop dataset check` lists the rules used for a dataset.

| values in the file | result |
| --- | --- |
| 8 bits or fewer | Pillow's `convert("RGB")`, as in the reference |
| 16-bit colour | the high byte of each value, as Pillow does |
| 16-bit grey | value / 257 |
| 12-bit grey (TIFF BitsPerSample) | value * 255 / 4095, and so for other bit depths |
| grey with a TIFF tag for white | value * 255 / white: WhiteLevel, or MaxSampleValue if it is 2**n - 1 |
| floats | if the largest is at most 1: value * 255; at most 255: unchanged; at most 65535: value / 257 |
| 32-bit or signed grey | if the largest is at most 255: unchanged; at most 65535: value / 257 |

Results are rounded. Some images are rejected, because the result would be a guess or nearly one colour: negative values, NaN
and infinity; values above the rule's white; a largest value of at most a sixteenth of white (12-bit data in a 16-bit file),
unless a tag gives white; and images that become one colour.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from cocoop.errors import UserError

WHITE_LEVEL, MAX_SAMPLE_VALUES = 50717, (281, 341)  # TIFF tags: DNG 1.4; TIFF 6.0, MaxSampleValue and SMaxSampleValue
BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0
BIT_DEPTHS = frozenset(2**bits - 1 for bits in range(8, 33))
DARK = 16  # values up to white / 16 use at most 16 of the 256 levels
SIXTEEN_BIT = frozenset(["I;16", "I;16B", "I;16L", "I;16N"])
DEEP = SIXTEEN_BIT | {"I", "F"}  # Pillow's modes with more than 8 bits
ADVICE = "save it as 8-bit RGB or grey, scaled as you want it to look"


@dataclass(frozen=True)
class Rule:
    """The scaling of an image with more than 8 bits: the kind of values, the value that becomes 255, and the largest value."""

    kind: str
    white: float
    largest: float

    def __str__(self) -> str:
        return f"{self.kind}, 0..{self.white:g} to 0..255"


@dataclass(frozen=True)
class Depth:
    """A file's information about its values, which must be read before the pixels, because Pillow then drops it.

    kind: the kind of values.
    whites: values that may be white, ascending.
    trusted: a white that is accepted even for a dark image.
    inverted: whether 0 is white.
    """

    kind: str
    whites: tuple[float, ...]
    trusted: float | None = None
    inverted: bool = False


def extrema(image: Image.Image) -> list[tuple[float, float]]:
    """The least and the greatest value of each band; Pillow gives a bare pair for a single one."""
    found = image.getextrema()
    return [(low, high) for low, high in (found if isinstance(found[0], tuple) else [found])]


def depth(image: Image.Image) -> Depth | None:
    """The information about values in an opened file whose pixels are not yet loaded; None for at most 8 bits."""
    tags = getattr(image, "tag_v2", {})  # only in TIFF files
    if image.mode not in DEEP:
        return Depth("16-bit colour", (65535,)) if _has_wide_colours(image, tags) else None
    kind, whites, trusted = _of_mode(image, tags)
    stated = _stated_white(tags)
    if stated:
        whites, trusted = (stated,), stated
    return Depth(kind, whites, trusted, tags.get(PHOTOMETRIC) == WHITE_IS_ZERO)


def _of_mode(image: Image.Image, tags: Mapping) -> tuple[str, tuple[float, ...], float | None]:
    if image.mode == "F":
        return "float grey", (1, 255, 65535), 1
    bits = max(tags.get(BITS_PER_SAMPLE, (16,)))
    if image.mode in SIXTEEN_BIT and bits < 16:
        return f"{bits}-bit grey", (2**bits - 1,), 2**bits - 1
    if image.mode in SIXTEEN_BIT or image.format in ("PNG", "PPM"):  # in some versions of Pillow these have mode I
        return "16-bit grey", (65535,), None
    return "32-bit or signed grey", (255, 65535), 255


def _has_wide_colours(image: Image.Image, tags: Mapping) -> bool:
    if tags:
        return max(tags.get(BITS_PER_SAMPLE, (1,))) == 16
    return image.format == "PNG" and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _stated_white(tags: Mapping) -> float | None:
    white = _largest_of(tags.get(WHITE_LEVEL))
    if white > 0:
        return white
    stated = [_largest_of(tags.get(tag)) for tag in MAX_SAMPLE_VALUES]
    # Any other number is the largest value of this image, a statistic that TIFF 6.0 does not allow to use for display.
    return next((value for value in stated if value in BIT_DEPTHS), None)


def _largest_of(tag: object) -> float:
    values = tag if isinstance(tag, tuple) else (tag,)
    return max((float(value) for value in values if isinstance(value, int | float | IFDRational)), default=0.0)


def to_eight_bits(image: Image.Image, said: Depth) -> tuple[Image.Image, Rule]:
    """Converts a loaded image with a mode in DEEP to mode L; returns it and the rule. Raises a UserError if no rule applies."""
    values = np.asarray(image)
    smallest, largest = float(values.min()), float(values.max())
    if not np.isfinite([smallest, largest]).all():
        raise UserError(f"{said.kind} with NaN or infinite values; {ADVICE}.")
    found = f"{said.kind} with values from {smallest:g} to {largest:g}"
    white = next((white for white in said.whites if largest <= white), said.whites[-1])
    if smallest < 0 or largest > white:
        raise UserError(f"{found}, outside 0..{white:g}; {ADVICE}.")
    if white != said.trusted:
        _refuse_dark(said.kind, largest, white)
    scaled = (values.astype(np.float32) * np.float32(255 / white) + np.float32(0.5)).astype(np.uint8)
    if smallest < largest and scaled.min() == scaled.max():
        raise UserError(f"{found}, which is one colour in 8 bits, as white is {white:g}; {ADVICE}.")
    return Image.fromarray(255 - scaled if said.inverted else scaled), Rule(said.kind, white, largest)


def check_colours(image: Image.Image, said: Depth) -> Rule:
    """The rule for 16-bit colour, which Pillow reduces to 8 bits. Raises a UserError if the result is nearly black."""
    bands = extrema(image)
    largest, white = max(high for _, high in bands[: 4 if image.mode == "CMYK" else 3]) * 257, said.whites[0]
    _refuse_dark(said.kind, largest, white)
    return Rule(said.kind, white, largest)


def _refuse_dark(kind: str, largest: float, white: float) -> None:
    if 0 < largest * DARK <= white:
        tag = (
            "" if "colour" in kind else f" (in a TIFF file, the tag WhiteLevel, {WHITE_LEVEL}, can state white instead)"
        )
        raise UserError(
            f"{kind} with a largest value of {largest:g}, nearly black where {white:g} is white; {ADVICE}{tag}."
        )
