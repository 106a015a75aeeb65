"""How an image file becomes RGB pixels."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from cocoop.data import ranges
from cocoop.errors import UserError

EXTENSIONS = frozenset([".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"])

# The content tells which; no other of Pillow's decoders is tried (one starts Ghostscript).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# A header may claim any size; above this an RGB copy takes more than 1.5 GB, so it is refused before decoding.
MOST_PIXELS = 500_000_000
# Pillow's own limit is lower and raises for pictures that are merely large.
Image.MAX_IMAGE_PIXELS = None

ORIENTATION = 0x0112  # EXIF tag
NEARLY_BLACK = 15  # the largest value, of 255, of such a picture


def is_image(name: str) -> bool:
    """Whether a file name has an image's extension, in either case, and is not hidden."""
    return not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS


class Examined(NamedTuple):
    """What `dataset check` says of one picture.

    rule: how its values became 0..255, if it has more than 8 bits; traits: what else a user may not expect, keys of
    `scan.TRAITS`.
    """

    rule: ranges.Rule | None
    traits: list[str]


def open_rgb(path: str | Path) -> Image.Image:
    """The picture in a file, as RGB; any file that cannot be decoded whole is a UserError that names it.

    As the reference does (Dassl, dassl/utils/tools.py:111-120): Pillow's `convert("RGB")`, EXIF rotation ignored, transparency
    dropped, the first frame of an animation. Two differences, both where Pillow would give one colour without a word: values of
    more than 8 bits are scaled by the rules in `ranges`, and a picture whose only content is its transparency is refused.
    """
    with _opened(path) as image:
        return _to_rgb(image)[0]


def examine(path: str | Path) -> Examined:
    """Decodes a picture as `open_rgb` does, with its errors, and says what is unusual about it."""
    with _opened(path) as image:
        picture, rule = _to_rgb(image)
        highest = max(high for _, high in ranges.extrema(picture))
        found = {
            "one colour": _is_one_colour(picture),
            "nearly black": not _is_one_colour(picture) and highest <= NEARLY_BLACK,
            "transparent": _least_alpha(image) < 255,
            "frames": getattr(image, "is_animated", False),
            "turned": _is_turned(image),
            "CMYK": image.mode == "CMYK",
        }
        return Examined(rule, [trait for trait, holds in found.items() if holds])


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """An image file, its pixels not yet loaded; every error of decoding inside the block becomes a UserError."""
    if not os.path.isfile(path) and os.path.lexists(path):  # opening a pipe would wait for ever
        raise UserError(f"{path}: not an image file, but {_what(path)}; replace it, or take it out of the dataset.")
    try:
        with Image.open(path, formats=FORMATS) as image:
            _refuse_huge(image)
            yield image
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such image.") from error
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        raise UserError(
            f"{path}: unreadable image ({_reason(path, error)}); replace it, or take it out of the dataset."
        ) from error


def _what(path: str | Path) -> str:
    if os.path.isdir(path):
        return "a folder"
    return "a pipe, socket, or device" if os.path.exists(path) else "a link to nothing"


def _to_rgb(image: Image.Image) -> tuple[Image.Image, ranges.Rule | None]:
    said = ranges.depth(image)
    image.load()
    if said and image.mode in ranges.DEEP:
        grey, rule = ranges.to_eight_bits(image, said)
        return grey.convert("RGB"), rule
    picture = _without_alpha(image)
    if image.has_transparency_data and _is_one_colour(picture) and _alpha(image)[0] < _alpha(image)[1]:
        raise UserError(
            "all colours are the same, only the transparency differs; paste it on a background and save that."
        )
    return picture, ranges.check_colours(picture, said) if said else None


def _without_alpha(image: Image.Image) -> Image.Image:
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA").convert("RGB")  # the same colours; the direct way makes Pillow warn
    return (image.convert("LA") if image.mode == "La" else image).convert("RGB")


def _is_one_colour(picture: Image.Image) -> bool:
    return all(low == high for low, high in ranges.extrema(picture))


def _alpha(image: Image.Image) -> tuple[int, int]:
    """The least and the greatest opacity of a picture with transparency, of 255."""
    image = image.convert("LA") if image.mode == "La" else image
    low, high = ranges.extrema(image.convert("RGBA"))[3]
    return int(low), int(high)


def _least_alpha(image: Image.Image) -> int:
    transparent = image.mode not in ranges.DEEP and image.has_transparency_data
    return _alpha(image)[0] if transparent else 255


def _is_turned(image: Image.Image) -> bool:
    """Whether EXIF asks for another orientation; Pillow itself turns TIFF files."""
    try:
        return image.format != "TIFF" and image.getexif().get(ORIENTATION, 1) in range(2, 9)
    except Exception:  # damaged EXIF data, in a picture that is all right
        return False


def _refuse_huge(image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise UserError(f"{image.width} x {image.height} pixels is too large (limit {MOST_PIXELS:,}); scale it down.")


def _reason(path: str | Path, error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        tiff = Path(path).suffix.lower() in (".tif", ".tiff")
        return f"none of the formats {', '.join(FORMATS)}" + (", or float colour and the like in TIFF" if tiff else "")
    return str(error) or type(error).__name__
