"""Splits built from annotations by the reference's two rules, for when no split file is at hand.

The reference shuffles with the global random stream of whichever run came first, over unsorted directory listings, so its
own files cannot be made again. Here the stream has its own stated seed and listings are sorted: the same split every time.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from cocoop.errors import UserError, counted, shown
from cocoop.manifest import Item

DEFAULT_SEED = 1
VAL_FRACTION = 0.2


class TooFew(UserError):
    """A class has too few images for the fractions of a split."""


def by_fractions(
    classes: Sequence[Sequence[Item]], split: Mapping[str, Any], names: Sequence[str]
) -> dict[str, list[Item]]:
    """Each class shuffled, then cut into train, val and the rest as test (datasets/dtd.py:54-95).

    classes: the items of each class, in the order in which classes are shuffled. names: what errors call them.
    split: fractions "train", "val" and "test" that add up to 1, and "seed". Counts round half to even, as in the reference.
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
        for part, chosen in pieces.items():
            if split[part] and not chosen:
                number = counted(len(shuffled), "image", "images")
                raise TooFew(
                    f"class {shown(name)} has {number}, too few for a split into {_percent(split)}: its {part} part is empty;"
                    " add images, drop the class, or change the fractions."
                )
            parts[part] += chosen
    return parts


def trainval(items: Sequence[Item], seed: int = DEFAULT_SEED) -> tuple[list[Item], list[Item]]:
    """Train and val of an official trainval list: of each class a shuffled fifth is val (datasets/oxford_pets.py:77-97)."""
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
        raise UserError(f"reader: split: train, val and test are fractions that add up to 1, not to {total:g}.")


def _percent(split: Mapping[str, Any]) -> str:
    return " / ".join(f"{split[part]:.0%} {part}" for part in ("train", "val", "test"))
