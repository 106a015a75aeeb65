"""Oxford-IIIT Pets from its annotations (datasets/oxford_pets.py:55-97)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cocoop.data.readers.base import Listing, lines, malformed
from cocoop.data.readers.building import DEFAULT_SEED, trainval
from cocoop.manifest import Item


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """`annotations`: holds trainval.txt and test.txt, "<image> <class id 1..37> <species> <breed id>". `images`, `seed`."""
    names: dict[int, str] = {}
    annotations = folder / settings["annotations"]
    official = _items(annotations / "trainval.txt", settings["images"], names)
    test = _items(annotations / "test.txt", settings["images"], names)
    train, val = trainval(official, settings.get("seed", DEFAULT_SEED))
    return Listing(tuple(names[label] for label in sorted(names)), {"train": train, "val": val, "test": test})


def _items(path: Path, images: str, names: dict[int, str]) -> list[Item]:
    items = []
    for line in lines(path):
        fields = line.split()
        if len(fields) != 4 or not fields[1].isdigit():
            raise malformed(path, line, '"<image> <class id> <species> <breed id>"')
        image, label = fields[0], int(fields[1]) - 1
        names[label] = image.rpartition("_")[0].lower()
        items.append(Item(f"{images}/{image}.jpg", label))
    return items
