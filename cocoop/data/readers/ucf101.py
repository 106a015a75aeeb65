"""UCF101's middle frames from the official split 01 (datasets/ucf101.py:28-87)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cocoop.data.readers.base import Listing, lines, malformed
from cocoop.data.readers.building import DEFAULT_SEED, trainval
from cocoop.errors import UserError
from cocoop.manifest import Item


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """`lists`: holds classInd.txt, trainlist01.txt, testlist01.txt; `images`, `seed`.

    Actions are cut at capitals, YoYo becomes Yo_Yo, in names and folders; file names keep the video's name.
    """
    lists = folder / settings["lists"]
    labels: dict[str, int] = {}
    for line in lines(lists / "classInd.txt"):
        number, _, action = line.partition(" ")
        if not number.isdigit() or not action:
            raise malformed(lists / "classInd.txt", line, '"<id> <Action>"')
        labels[action] = int(number) - 1
    official = _items(lists / "trainlist01.txt", settings["images"], labels)
    test = _items(lists / "testlist01.txt", settings["images"], labels)
    train, val = trainval(official, settings.get("seed", DEFAULT_SEED))
    names = tuple(_cut(action) for action in sorted(labels, key=labels.__getitem__))
    return Listing(names, {"train": train, "val": val, "test": test})


def _items(path: Path, images: str, labels: Mapping[str, int]) -> list[Item]:
    items = []
    for line in lines(path):
        action, _, video = line.split()[0].partition("/")
        if action not in labels:
            raise UserError(f"{path}: {line!r} has no action of classInd.txt; take both from the same archive.")
        items.append(Item(f"{images}/{_cut(action)}/{video.removesuffix('.avi')}.jpg", labels[action]))
    return items


def _cut(action: str) -> str:
    return "_".join(re.findall("[A-Z][^A-Z]*", action))
