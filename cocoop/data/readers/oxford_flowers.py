"""Oxford Flowers 102 from its labels, with the CoOp authors' split, not the official one (datasets/oxford_flowers.py:54-89)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cocoop.data.readers.base import MISSHAPEN, Listing, in_order, json_content, malformed, mat, whole_number
from cocoop.data.readers.building import DEFAULT_SEED, by_fractions
from cocoop.errors import UserError
from cocoop.manifest import Item


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """Settings: `labels`: a .mat with a 1-based label per image number. `names_file`: JSON, id to name. `images`, `seed`.

    Classes are in order of first appearance, in which they are shuffled and drawn.
    """
    names = _names(folder / settings["names_file"])
    path = folder / settings["labels"]
    try:
        labels = [int(label) - 1 for label in mat(path)["labels"][0]]
    except MISSHAPEN as error:
        raise UserError(f"{path}: no flower labels inside ({error}); download it again.") from error
    groups: dict[int, list[Item]] = {}
    for number, label in enumerate(labels, 1):
        if label not in names:
            raise UserError(f"{path}: label {label + 1} has no name in {settings['names_file']}.")
        groups.setdefault(label, []).append(Item(f"{settings['images']}/image_{number:05d}.jpg", label))
    split = {"train": 0.5, "val": 0.2, "test": 0.3, "seed": settings.get("seed", DEFAULT_SEED)}
    splits = by_fractions(list(groups.values()), split, [names[label] for label in groups])
    return Listing(in_order(names, folder / settings["names_file"], "key"), splits)


def _names(path: Path) -> dict[int, str]:
    content = json_content(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object, class number to name; download it again.")
    names: dict[int, str] = {}
    for key, name in content.items():
        number = whole_number(key)
        if not number or not isinstance(name, str) or number - 1 in names:
            raise malformed(path, f"{key}: {name}", "a class number from 1, once, and a name")
        names[number - 1] = name
    return names
