"""Class halves and the few-shot draw, exactly as the reference makes them."""

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
    """The labels of a subset, sorted: base is the first ceil(n/2) of those present, new the rest.

    labels: the labels of the train split (oxford_pets.py:140-186). A position in the result is the label inside the subset.
    """
    present = sorted(set(labels))
    half = math.ceil(len(present) / 2)
    return {"all": present, "base": present[:half], "new": present[half:]}[subset]


class Numbered(NamedTuple):
    """A listing position and its label: what is drawn from, so that a path listed twice stays two items."""

    position: int
    label: int


Labelled = TypeVar("Labelled", Item, Numbered)


def draw(items: Sequence[Labelled], shots: int, generator: random.Random) -> list[Labelled]:
    """`shots` items of each class, in order of the classes' first appearance (base_dataset.py:194-223).

    A class with fewer items keeps them all in listing order and consumes no randomness.
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
    """The reference's few-shot draw: train first, then val with min(shots, 4), from one stream (oxford_pets.py:44).

    Class subsets are cut afterwards, so base images are the same as in the draw over all classes.
    """
    generator = random.Random(seed)
    return draw(train, shots, generator), draw(val, min(shots, MOST_VAL_SHOTS), generator)


def numbered(manifest: Manifest, split: str) -> list[Numbered]:
    """A split as positions and labels, in listing order."""
    return [Numbered(position, item.label) for position, item in enumerate(manifest.splits[split])]


def save_few_shot(path: str | Path, manifest: Manifest, shots: int, seed: int) -> None:
    """Draws and writes the selection as indices into the manifest's train and val listings."""
    if shots < 1:
        raise UserError(f"shots: {shots} is too few; take 1 or more.")
    if not manifest.splits["train"]:
        raise UserError(
            f"dataset {manifest.dataset!r} has no train split (it is for testing only); take another to train on."
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
    """Reads a selection: `train` and `val` are manifest positions, `labels` the labels of `train`."""
    return io.read_json(path, "fewshot")
