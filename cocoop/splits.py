"""Base and new classes and the few-shot draw, identical to the reference implementation."""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from cocoop import io
from cocoop.errors import UserError
from cocoop.manifest import Item, Manifest

SUBSETS = ("all", "base", "new")
MOST_VAL_SHOTS = 4


def class_subset(labels: Sequence[int], subset: str) -> list[int]:
    """The sorted labels of a subset: base is the first ceil(n/2) of the labels that occur, new the rest.

    labels: the labels of the train split (oxford_pets.py:140-186).
    The position of a label in the result is its label within the subset.
    """
    present = sorted(set(labels))
    half = math.ceil(len(present) / 2)
    return {"all": present, "base": present[:half], "new": present[half:]}[subset]


class Numbered(NamedTuple):
    """A position in the listing and its label. Drawing positions keeps a path that is listed twice as two items."""

    position: int
    label: int


Labelled = TypeVar("Labelled", Item, Numbered)


def draw(items: Sequence[Labelled], shots: int, generator: random.Random) -> list[Labelled]:
    """Draws `shots` items of each class, in the order in which the classes first appear (base_dataset.py:194-223).

    A class with fewer items keeps all of them in listing order and draws no random numbers.
    """
    groups: dict[int, list[Labelled]] = {}
    for item in items:
        groups.setdefault(item.label, []).append(item)
    chosen: list[Labelled] = []
    for group in groups.values():
        chosen += generator.sample(group, shots) if len(group) >= shots else group
    return chosen


def few_shot(
    train: Sequence[Labelled], val: Sequence[Labelled], shots: int, seed: int
) -> tuple[list[Labelled], list[Labelled]]:
    """The reference's few-shot draw: first train, then val with min(shots, 4), from one generator (oxford_pets.py:44).

    Class subsets are selected afterwards, so the base classes have the same images as in the draw over all classes.
    """
    generator = random.Random(seed)
    return draw(train, shots, generator), draw(val, min(shots, MOST_VAL_SHOTS), generator)


def numbered(manifest: Manifest, split: str) -> list[Numbered]:
    """A split as positions and labels, in listing order."""
    return [Numbered(position, item.label) for position, item in enumerate(manifest.splits[split])]


def save_few_shot(path: str | Path, manifest: Manifest, shots: int, seed: int) -> None:
    """Draws a selection and writes it as indices into the manifest's train and val listings."""
    if shots < 1:
        raise UserError(f"shots: expected 1 or more, got {shots}.")
    if not manifest.splits["train"]:
        raise UserError(
            f"dataset {manifest.dataset!r} has no train split (it is for testing only); train on another dataset."
        )
    train, val = few_shot(numbered(manifest, "train"), numbered(manifest, "val"), shots, seed)
    io.write_json(
        path,
        {
            "schema": 1,
            "kind": "fewshot",
            "dataset": manifest.dataset,
            "manifest": manifest.fingerprint,
            "shots": shots,
            "seed": seed,
            "classnames": list(manifest.classnames),
            "train": [item.position for item in train],
            "val": [item.position for item in val],
            "labels": [item.label for item in train],
        },
    )


def load_few_shot(path: str | Path) -> dict:
    """Reads a selection: `train` and `val` are positions in the manifest, `labels` the labels of `train`."""
    return io.read_json(path, "fewshot")
