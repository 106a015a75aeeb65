"""One folder for each class, and an automatic split with stated fractions and seed."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from cocoop.data.readers.base import Listing, class_folders, image_names, numeric_or_text
from cocoop.data.readers.building import by_fractions
from cocoop.errors import UserError, listed
from cocoop.manifest import Item


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """`images`: the folder that holds the class folders. `ignore`: class folders to leave out. `split`: see `by_fractions`.

    A label is the rank of the class folder in ASCII order, or by value where all names are numbers.
    """
    prefix = settings.get("images", ".")
    classes = sorted(class_folders(folder / prefix, tuple(settings.get("ignore", ()))), key=numeric_or_text)
    items, strangers = items_of(folder, prefix, classes)
    return Listing(tuple(classes), by_fractions(items, settings["split"], classes), left_out(strangers))


def items_of(folder: Path, prefix: str, classes: list[str]) -> tuple[list[list[Item]], list[str]]:
    """The items of each class folder, sorted by file name, and the files that are no images; an empty class is a UserError."""
    items, strangers = [], []
    for label, name in enumerate(classes):
        below = PurePosixPath(prefix) / name
        images, others = image_names(folder / below)
        if not images:
            raise UserError(f"{folder / below}: class folder without images; add some, or remove the folder.")
        items.append([Item(f"{below}/{image}", label) for image in images])
        strangers += [f"{below}/{other}" for other in others]
    return items, strangers


def left_out(strangers: list[str]) -> list[str]:
    """The manifest's note on files that are no images."""
    shown = listed((name.encode(errors="backslashreplace").decode() for name in strangers), 5)  # of whatever bytes
    return [f"left out, no image files: {shown}"] if strangers else []
