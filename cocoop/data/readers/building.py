"""Builds splits from annotations with the reference's two rules, if there is no split file.

The reference shuffles unsorted directory listings with the global random state of the first run, so its files cannot be
reproduced. This module uses a separate seed and sorted listings, so the split is always the same.
"""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cocoop.data.duplicates import same_content
from cocoop.errors import UserError, counted, shown
from cocoop.manifest import Item

DEFAULT_SEED = 1
VAL_FRACTION = 0.2


class TooFew(UserError):
    """A class has too few images for the fractions of a split."""


def drawn(
    folder: Path, classes: Sequence[Sequence[Item]], split: Mapping[str, Any], names: Sequence[str]
) -> tuple[dict[str, list[Item]], list[str]]:
    """The splits of `by_fractions` and notes. With `duplicates: together` in `split`, copies of an image stay in one split."""
    if split.get("duplicates") != "together":
        return by_fractions(classes, split, names), []
    groups = same_content(folder, [item.path for items in classes for item in items])
    copy_of = {path: group[0] for group in groups for path in group}
    number = counted(len(groups), "image occurs", "images occur")
    notes = (
        [f"{number} more than once with the same content; copies are kept in one split where their class has others"]
        if groups
        else []
    )
    return by_fractions(classes, split, names, copy_of), notes


def by_fractions(
    classes: Sequence[Sequence[Item]],
    split: Mapping[str, Any],
    names: Sequence[str],
    copy_of: Mapping[str, str] | None = None,
) -> dict[str, list[Item]]:
    """Shuffles each class and splits it into train, val and the rest as test (datasets/dtd.py:54-95).

    classes: the items of each class, in the order in which classes are shuffled.
    names: names of the classes for messages.
    split: fractions "train", "val" and "test" with sum 1, and "seed". Counts round half to even, as in the reference.
    copy_of: for each path with copies, the same text for all of them; later copies follow the first one of their class, unless
        that would leave a part of the class empty.
    """
    _add_up(split)
    generator = random.Random(split.get("seed", DEFAULT_SEED))
    parts: dict[str, list[Item]] = {"train": [], "val": [], "test": []}
    for items, name in zip(classes, names, strict=True):
        shuffled = list(items)
        generator.shuffle(shuffled)
        train = round(len(shuffled) * split["train"])
        val = round(len(shuffled) * split["val"])
        pieces = {"train": shuffled[:train], "val": shuffled[train : train + val], "test": shuffled[train + val :]}
        moved = _together(pieces, copy_of or {})
        if all(moved[part] or not split[part] for part in moved):  # `dataset check` reports the copies of other classes
            pieces = moved
        for part, chosen in pieces.items():
            if split[part] and not chosen:
                number = counted(len(shuffled), "image", "images")
                raise TooFew(
                    f"class {shown(name)} has {number}, too few for a split into {_percent(split)}: its {part} part is empty;"
                    " add images, drop the class, or change the fractions."
                )
            parts[part] += chosen
    return parts


def _together(pieces: Mapping[str, Sequence[Item]], copy_of: Mapping[str, str]) -> dict[str, list[Item]]:
    """The parts of a class, with each copy moved to the part of the first."""
    moved: dict[str, list[Item]] = {part: [] for part in pieces}
    home: dict[str, str] = {}
    for part, items in pieces.items():
        for item in items:
            moved[home.setdefault(copy_of.get(item.path, item.path), part)].append(item)
    return moved


def trainval(items: Sequence[Item], seed: int = DEFAULT_SEED) -> tuple[list[Item], list[Item]]:
    """Splits an official trainval list: a random fifth of each class is val (datasets/oxford_pets.py:77-97)."""
    generator = random.Random(seed)
    classes: dict[int, list[Item]] = {}
    for item in items:
        classes.setdefault(item.label, []).append(item)
    train: list[Item] = []
    val: list[Item] = []
    for group in classes.values():
        generator.shuffle(group)
        count = round(len(group) * VAL_FRACTION)
        val += group[:count]
        train += group[count:]
    return train, val


def _add_up(split: Mapping[str, Any]) -> None:
    total = split["train"] + split["val"] + split["test"]
    if abs(total - 1) > 1e-9:
        raise UserError(f"reader: split: the sum of train, val and test must be 1, got {total:g}.")


def _percent(split: Mapping[str, Any]) -> str:
    return " / ".join(f"{split[part]:.0%} {part}" for part in ("train", "val", "test"))
