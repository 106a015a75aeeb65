"""SUN397 from the official partition 01 (datasets/sun397.py:28-81)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cocoop.data.readers.base import Listing, lines, malformed, numbered
from cocoop.data.readers.building import DEFAULT_SEED, trainval
from cocoop.errors import UserError
from cocoop.manifest import Item


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """Reads ClassName.txt, Training_01.txt and Testing_01.txt in the dataset's folder. Settings: `images`, `seed`.

    A label is a line number. Names drop the letter and reverse the rest: /a/apartment_building/outdoor becomes "outdoor
    apartment_building".
    """
    scenes = [line.lstrip("/") for line in lines(folder / "ClassName.txt")]
    labels = numbered(scenes, folder / "ClassName.txt")
    official = _items(folder / "Training_01.txt", settings["images"], labels)
    test = _items(folder / "Testing_01.txt", settings["images"], labels)
    train, val = trainval(official, settings.get("seed", DEFAULT_SEED))
    names = tuple(_name(scene, folder / "ClassName.txt") for scene in scenes)
    return Listing(names, {"train": train, "val": val, "test": test})


def _name(scene: str, path: Path) -> str:
    _letter, *rest = scene.split("/")
    if not rest or not all(rest):
        raise malformed(path, scene, '"/<letter>/<scene>"')
    return " ".join(reversed(rest))


def _items(path: Path, images: str, labels: Mapping[str, int]) -> list[Item]:
    items = []
    for line in lines(path):
        image = line.lstrip("/")
        scene = image.rpartition("/")[0]
        if scene not in labels:
            raise UserError(
                f"{path}: {line!r} lies in no scene of ClassName.txt; take both from the same Partitions.zip."
            )
        items.append(Item(f"{images}/{image}", labels[scene]))
    return items
