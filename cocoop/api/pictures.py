"""Pictures of any kind (paths, folders, PIL images, arrays) as RGB images with names, and as crops for the image tower."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cocoop.backbone.transforms import Preprocessing
from cocoop.data.images import decoding, reader_of, to_rgb
from cocoop.data.readers.base import images_below
from cocoop.errors import UserError, shown
from cocoop.places import expanded

EIGHT_BITS = ("1", "CMYK", "HSV", "L", "LA", "LAB", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "YCbCr")
CHANNELS = (3, 4)
REMEDY = "open it again, or leave it out"


class Picture(NamedTuple):
    """One picture: its name in results, and what it was given as."""

    name: str
    source: str | Path | Image.Image | np.ndarray


class Crops(NamedTuple):
    """A batch: the places of its pictures in the list, and their pixels (n, 3, H, W), uint8."""

    places: list[int]
    pixels: np.ndarray


Unreadable = Callable[[int, UserError], Any]
"""What to do about a picture that cannot be read: its place in the list, and the reason."""


def listed(images: Any) -> list[Picture]:
    """One picture or several as a list; a folder stands for all images in it, sorted as in `data.readers.base.images_below`.

    images: a path, a folder, a PIL image, an array (H, W), (H, W, 3) or (N, H, W, 3), or a sequence of these.
    Raises a UserError for anything else, for an empty list, and for a folder without images.
    """
    if isinstance(images, np.ndarray) and images.ndim == 4:
        images = list(images)
    many = images if isinstance(images, Sequence) and not isinstance(images, str) else [images]
    found: list[Picture] = []
    for number, one in enumerate(many, 1):
        if isinstance(one, str | Path):
            found += _on_disk(Path(one))
        elif isinstance(one, Image.Image | np.ndarray):
            found.append(Picture(f"picture {number}", one))
        else:
            raise UserError(
                f"picture {number}: expected a path, a PIL image or an array of bytes, got {type(one).__name__}."
            )
    if not found:
        raise UserError("pictures: the list is empty; give at least one.")
    return found


def _on_disk(path: Path) -> list[Picture]:
    with suppress(UserError):  # reading a picture of an unknown user's says that there is none, as of any other
        path = expanded(path)
    if not path.is_dir():
        return [Picture(str(path), path)]
    names, _ = images_below(path)
    if not names:
        raise UserError(f"{path}: the folder contains no images.")
    return [Picture(str(path / name), path / name) for name in names]


def rgb(picture: Picture, on_white: bool) -> Image.Image:
    """The picture as RGB, decoded and checked like the images of a dataset. Raises a UserError that names it."""
    source = picture.source
    if isinstance(source, str | Path):
        return reader_of(on_white)(source)
    with decoding(picture.name, REMEDY):
        image = _of_array(source) if isinstance(source, np.ndarray) else source
        if image.mode not in EIGHT_BITS:
            raise UserError(
                f"mode {image.mode!r} has more than 8 bits per value; scale it to 0..255 and convert it to RGB."
            )
        return to_rgb(image, on_white)[0]


def _of_array(array: np.ndarray) -> Image.Image:
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in CHANNELS)
    if array.dtype != np.uint8 or not shape_fits or not array.size:
        raise UserError(
            "expected an array of uint8 (0..255) with the shape (height, width) or (height, width, 3), "
            f"got {array.dtype} {shown(array.shape)}."
        )
    return Image.fromarray(array)


def crops(
    pictures: Sequence[Picture],
    preprocessing: Preprocessing,
    at_once: int,
    on_white: bool,
    unreadable: Unreadable | None = None,
) -> Iterator[Crops]:
    """The test transform of all pictures in batches.

    on_white: whether what is transparent is pasted onto white.
    unreadable: called for each picture that cannot be read, which is then left out; without it, the first one is a UserError.
    """
    for start in range(0, len(pictures), at_once):
        places, pixels = [], []
        for place, picture in enumerate(pictures[start : start + at_once], start):
            try:
                pixels.append(preprocessing.test(rgb(picture, on_white)))
                places.append(place)
            except UserError as error:
                if unreadable is None:
                    raise
                unreadable(place, error)
        if places:
            yield Crops(places, np.stack(pixels))
