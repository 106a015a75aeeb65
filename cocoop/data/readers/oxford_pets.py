"""Oxford-IIIT Pets from its annotations (datasets/oxford_pets.py:55-97)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cocoop.data.readers.base import Listing, in_order, lines, malformed, whole_number
from cocoop.data.readers.building import DEFAULT_SEED, trainval
from cocoop.errors import UserError
from cocoop.manifest import Item


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """Settings: `annotations`: folder of trainval.txt and test.txt ("<image> <class id> <species> <breed>"), `images`, `seed`."""
    names: dict[int, str] = {}
    annotations = folder / settings["annotations"]
    official = _items(annotations / "trainval.txt", settings["images"], names)
    test = _items(annotations / "test.txt", settings["images"], names)
    train, val = trainval(official, settings.get("seed", DEFAULT_SEED))
    return Listing(in_order(names, annotations, "class id"), {"train": train, "val": val, "test": test})


def _items(path: Path, images: str, names: dict[int, str]) -> list[Item]:
    items = []
    for line in lines(path):
        fields = line.split()
        number = whole_number(fields[1]) if len(fields) == 4 else None
        if not number:
            raise malformed(path, line, '"<image> <class id> <species> <breed id>", ids from 1')
        image, label = fields[0], number - 1
        name = image.rpartition("_")[0].lower()
        if names.setdefault(label, name) != name:
            raise UserError(
                f"{path}: class id {number} has two breeds, {names[label]!r} and {name!r} ({line!r}); download it again."
            )
        items.append(Item(f"{images}/{image}.jpg", label))
    return items
