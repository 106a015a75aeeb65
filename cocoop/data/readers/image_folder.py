"""One folder per class, split by fractions with a seed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from cocoop.data.readers.base import Listing, class_folders, images_below, numeric_or_text
from cocoop.data.readers.building import drawn
from cocoop.errors import UserError, counted, listed
from cocoop.manifest import Item


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """Settings: `images`: folder of the class folders. `ignore`: class folders to skip. `split`: see `building.drawn`.

    A label is the rank of the class folder in ASCII order, or by value if all names are numbers.
    """
    prefix = settings.get("images", ".")
    classes = sorted(class_folders(folder / prefix, tuple(settings.get("ignore", ()))), key=numeric_or_text)
    items, strangers = items_of(folder, prefix, classes)
    splits, notes = drawn(folder, items, settings["split"], classes)
    return Listing(tuple(classes), splits, [*notes, *left_out(strangers)])


def items_of(folder: Path, prefix: str, classes: list[str]) -> tuple[list[list[Item]], list[str]]:
    """The items of each class folder, and files that are not images. Raises a UserError for a class folder without images."""
    items, strangers = [], []
    for label, name in enumerate(classes):
        below = PurePosixPath(prefix) / name
        images, others = images_below(folder / below)
        if not images:
            raise UserError(f"{folder / below}: class folder without images{_instead(others)}.")
        items.append([Item(f"{below}/{image}", label) for image in images])
        strangers += [f"{below}/{other}" for other in others]
    return items, strangers


def _instead(others: Sequence[str]) -> str:
    """The content of a class folder without images, and advice."""
    if not others:
        return "; add some, or remove the folder"
    kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in others)
    shown = listed(f"{count} {kind!a}" for kind, count in kinds.most_common())
    return f"; its {len(others)} files are of other kinds ({shown}): convert them to JPEG or PNG, or remove the folder"


def left_out(strangers: Sequence[str]) -> list[str]:
    """The note in the manifest about files that are not images."""
    shown = listed((name.encode(errors="backslashreplace").decode() for name in strangers), 5)  # of whatever bytes
    number = counted(len(strangers), "file that is not an image", "files that are not images")
    return [f"left out: {number}: {shown}"] if strangers else []
