"""The middle frames of UCF101 with the official split 01 (datasets/ucf101.py:28-87)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cocoop.data.readers.base import Listing, in_order, lines, malformed, whole_number
from cocoop.data.readers.building import DEFAULT_SEED, trainval
from cocoop.errors import UserError
from cocoop.manifest import Item


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """Settings: `lists`: folder of classInd.txt, trainlist01.txt and testlist01.txt; `images`, `seed`.

    In names and folders, actions are split at capitals (YoYo becomes Yo_Yo); file names keep the video's name.
    """
    lists = folder / settings["lists"]
    labels = _labels(lists / "classInd.txt")
    official = _items(lists / "trainlist01.txt", settings["images"], labels)
    test = _items(lists / "testlist01.txt", settings["images"], labels)
    train, val = trainval(official, settings.get("seed", DEFAULT_SEED))
    names = in_order({label: _cut(action) for action, label in labels.items()}, lists / "classInd.txt", "id")
    return Listing(names, {"train": train, "val": val, "test": test})


def _labels(path: Path) -> dict[str, int]:
    labels: dict[str, int] = {}
    for line in lines(path):
        id_, _, action = line.partition(" ")
        number = whole_number(id_)
        if not number or not _cut(action):
            raise malformed(path, line, '"<id> <Action>", ids from 1')
        if action in labels or number - 1 in labels.values():
            raise UserError(f"{path}: {line!r}: this id or this action appears twice; download it again.")
        labels[action] = number - 1
    return labels


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
