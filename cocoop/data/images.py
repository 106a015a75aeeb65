"""How an image file becomes RGB pixels."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from cocoop.errors import UserError

EXTENSIONS = frozenset([".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"])

# Told by content; no other of Pillow's decoders is tried (one starts Ghostscript).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# A header may claim any size; above this an RGB copy takes more than 1.5 GB, so it is refused before decoding.
MOST_PIXELS = 500_000_000
# Pillow's own limit is lower and raises for pictures that are merely large.
Image.MAX_IMAGE_PIXELS = None

SIXTEEN_BIT = frozenset(["I;16", "I;16B", "I;16L", "I;16N"])


def is_image(name: str) -> bool:
    """Whether a file name has an image's extension, in either case, and is not hidden."""
    return not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS


def open_rgb(path: str | Path) -> Image.Image:
    """The picture in a file, as RGB; any file that cannot be decoded whole is a UserError that names it.

    As the reference does (Dassl, dassl/utils/tools.py:111-120): Pillow's `convert("RGB")`, EXIF rotation ignored, transparency
    dropped, the first frame of an animation. One difference: Pillow clips 16-bit pictures, which turns nearly all of one
    white; here 0..65535 becomes 0..255. None of the paper's datasets has 16-bit pictures.
    """
    if not os.path.isfile(path) and os.path.lexists(path):  # opening a pipe would wait for ever
        raise UserError(f"{path}: not an image file, but {_what(path)}; replace it, or take it out of the dataset.")
    try:
        with Image.open(path, formats=FORMATS) as image:
            _refuse_huge(path, image)
            image.load()
            return _to_rgb(image)
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such image.") from error
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        raise UserError(
            f"{path}: unreadable image ({_reason(error)}); replace it, or take it out of the dataset."
        ) from error


def _what(path: str | Path) -> str:
    if os.path.isdir(path):
        return "a folder"
    return "a pipe, socket, or device" if os.path.exists(path) else "a link to nothing"


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in SIXTEEN_BIT or (image.mode == "I" and 255 < image.getextrema()[1] <= 65535):
        return Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA").convert("RGB")  # the same colours; the direct way makes Pillow warn
    return image.convert("RGB")


def _refuse_huge(path: str | Path, image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise UserError(
            f"{path}: {image.width} x {image.height} pixels is too large (limit {MOST_PIXELS:,}); scale it down."
        )


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return f"none of the formats {', '.join(FORMATS)}"
    return str(error) or type(error).__name__
