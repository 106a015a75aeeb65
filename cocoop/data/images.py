"""Decodes image files to RGB pixels."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from cocoop.data import ranges
from cocoop.errors import UserError

EXTENSIONS = frozenset([".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"])

# The content determines the format; Pillow's other decoders are never tried (one starts Ghostscript).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# A header may claim any size; above this limit, an RGB copy takes more than 1.5 GB, so the image is rejected before decoding.
MOST_PIXELS = 500_000_000
# Pillow's limit is lower and rejects images that are only large.
Image.MAX_IMAGE_PIXELS = None

REMEDY = "replace it, or remove it from the dataset"
ORIENTATION = 0x0112  # EXIF tag
NEARLY_BLACK = 15  # largest value, of 255, of an image that counts as nearly black


def is_image(name: str) -> bool:
    """Whether a file name has an image suffix, in upper or lower case, and is not hidden."""
    return not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS


class Examined(NamedTuple):
    """Facts about an image for `dataset check`.

    rule: how its values were scaled to 0..255, if it has more than 8 bits.
    traits: other unexpected properties, keys of `scan.TRAITS`.
    """

    rule: ranges.Rule | None
    traits: list[str]


def open_rgb(path: str | Path) -> Image.Image:
    """Decodes an image file to RGB. Raises a UserError for a file that cannot be decoded completely.

    Like the reference (Dassl, dassl/utils/tools.py:111-120), it uses Pillow's `convert("RGB")`, ignores EXIF rotation, drops
    transparency and takes the first frame of an animation. It differs in two cases in which Pillow would silently return a single
    colour: `ranges` scales values of more than 8 bits, and an image whose only content is its transparency is rejected.
    """
    with _opened(path) as image:
        return to_rgb(image, on_white=False)[0]


def open_on_white(path: str | Path) -> Image.Image:
    """Decodes an image like `open_rgb`, but pastes transparent images onto white, for datasets with `transparency: white`."""
    with _opened(path) as image:
        return to_rgb(image, on_white=True)[0]


def reader_of(on_white: bool) -> Callable[[str | Path], Image.Image]:
    """`open_on_white` or `open_rgb`."""
    return open_on_white if on_white else open_rgb


def has_transparency(path: str | Path) -> bool:
    """Whether an image may have transparent pixels, from its header; False for a file that cannot be read."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.mode not in ranges.DEEP and image.has_transparency_data
    except Exception:  # as in `decoding`; reading the pixels reports it
        return False


def examine(path: str | Path, on_white: bool = False) -> Examined:
    """Decodes an image like `open_rgb` or `open_on_white`, with the same errors, and returns unusual properties."""
    with _opened(path) as image:
        picture, rule = to_rgb(image, on_white)
        bands = ranges.extrema(picture)
        one_colour = all(low == high for low, high in bands)
        found = {
            "one colour": one_colour,
            "nearly black": not one_colour and max(high for _, high in bands) <= NEARLY_BLACK,
            "transparent": _least_alpha(image) < 255,
            "frames": getattr(image, "is_animated", False),
            "turned": _is_turned(image),
            "CMYK": image.mode == "CMYK",
        }
        return Examined(rule, [trait for trait, holds in found.items() if holds])


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """An image file, its pixels not yet loaded, inside `decoding`."""
    if not os.path.isfile(path) and os.path.lexists(path):  # opening a pipe would block forever
        raise UserError(f"{path}: not an image file, but {_what(path)}; {REMEDY}.")
    with decoding(path), Image.open(path, formats=FORMATS) as image:
        yield image


@contextmanager
def decoding(name: str | Path, remedy: str = REMEDY) -> Iterator[None]:
    """Turns every error of decoding inside the block into a UserError that names the image; remedy: what to do then."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such image.") from error
    except Exception as error:  # Pillow's decoders can raise nearly any error for a corrupt file
        raise UserError(f"{name}: unreadable image ({_reason(name, error)}); {remedy}.") from error


def _what(path: str | Path) -> str:
    if os.path.isdir(path):
        return "a folder"
    return "a pipe, socket, or device" if os.path.exists(path) else "a broken link"


def to_rgb(image: Image.Image, on_white: bool) -> tuple[Image.Image, ranges.Rule | None]:
    """An image as RGB, and the rule that scaled its values, if they had more than 8 bits; see `open_rgb`."""
    _refuse_size(image)
    said = ranges.depth(image)
    image.load()
    if said and image.mode in ranges.DEEP:
        grey, rule = ranges.to_eight_bits(image, said)
        return grey.convert("RGB"), rule
    picture = _on_white(image) if on_white and image.has_transparency_data else _without_alpha(image)
    if image.has_transparency_data and _is_one_colour(picture):
        least, most = _alpha(image)
        if least < most:
            raise UserError(
                "all colours are the same, only the transparency differs; paste it onto a background and save the result."
            )
    return picture, ranges.check_colours(picture, said) if said else None


def _without_alpha(image: Image.Image) -> Image.Image:
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA").convert("RGB")  # the same colours; Pillow warns about a direct conversion
    return (image.convert("LA") if image.mode == "La" else image).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    layer = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _is_one_colour(picture: Image.Image) -> bool:
    return all(low == high for low, high in ranges.extrema(picture))


def _alpha(image: Image.Image) -> tuple[int, int]:
    """The minimal and maximal opacity, of 255, of an image with transparency."""
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
    except Exception:  # corrupt EXIF data in a valid image
        return False


def _refuse_size(image: Image.Image) -> None:
    if not image.width * image.height:
        raise UserError(f"{image.width} x {image.height} pixels: the image is empty.")
    if image.width * image.height > MOST_PIXELS:
        raise UserError(f"{image.width} x {image.height} pixels is too large (limit {MOST_PIXELS:,}); scale it down.")


def _reason(path: str | Path, error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        tiff = Path(path).suffix.lower() in (".tif", ".tiff")
        return f"none of the formats {', '.join(FORMATS)}" + (", or float colour and the like in TIFF" if tiff else "")
    return str(error) or type(error).__name__
