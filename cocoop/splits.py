"""Base and new classes and the few-shot draw, identical to the reference implementation unless a configuration says otherwise."""

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cocoop import io
from cocoop.config.draw import ALL_SHOTS, CLIP_LORA, COOP, PAIR_FLIP, Draw
from cocoop.errors import UserError, unknown
from cocoop.manifest import Item, Manifest

SUBSETS = ("all", "base", "new")
SUBSET = re.compile(r"all|(base|new)(-[1-9][0-9]*)?")
MOST_VAL_SHOTS = 4
AUTHORS = Draw()


def half_of(subset: str) -> tuple[str, int]:
    """`base-2` is the base classes of the random halves number 2; `base` and `all` have number 0."""
    name, _, number = subset.partition("-")
    return name, int(number or 0)


def with_half(subset: str, number: int) -> str:
    """The name of a subset for the random halves of this number; 0 for the first and the second half."""
    return subset if subset == "all" or not number else f"{subset}-{number}"


def class_subset(labels: Sequence[int], subset: str) -> list[int]:
    """The sorted labels of a subset: base is the first ceil(n/2) of the labels that occur, new the rest.

    labels: the labels of the train split (oxford_pets.py:140-186).
    subset: all, base or new; or base-K or new-K, whose halves are those of the labels in a random order, which depends on
        nothing but K and the labels.
    The position of a label in the result is its label within the subset.
    """
    name, number = half_of(subset)
    present = sorted(set(labels))
    if number:
        random.Random(f"halves {number}").shuffle(present)
    half = math.ceil(len(present) / 2)
    return sorted({"all": present, "base": present[:half], "new": present[half:]}[name])


class Numbered(NamedTuple):
    """A position in the listing and its label. Drawing positions keeps a path that is listed twice as two items."""

    position: int
    label: int


Labelled = TypeVar("Labelled", Item, Numbered)


def draw(
    items: Sequence[Labelled], shots: int | Mapping[int, int], generator: random.Random, repeat: bool = False
) -> list[Labelled]:
    """Draws `shots` items of each class, in the order in which the classes first appear (base_dataset.py:194-223).

    shots: of all classes, or by label.
    A class with fewer items keeps all of them in listing order and draws no random numbers; with `repeat`, it draws `shots`
    times among them instead (CLIP-LoRA datasets/utils.py, generate_fewshot_dataset).
    """
    groups: dict[int, list[Labelled]] = {}
    for item in items:
        groups.setdefault(item.label, []).append(item)
    chosen: list[Labelled] = []
    for label, group in groups.items():
        number = shots if isinstance(shots, int) else shots[label]
        if len(group) >= number:
            chosen += generator.sample(group, number)
        else:
            chosen += generator.choices(group, k=number) if repeat else group
    return chosen


def few_shot(
    train: Sequence[Labelled],
    val: Sequence[Labelled],
    shots: int,
    seed: int,
    per_class: Mapping[int, int] | None = None,
    like: str = COOP,
) -> tuple[list[Labelled], list[Labelled]]:
    """The reference's few-shot draw: first train, then val with min(shots, 4), from one generator (oxford_pets.py:44).

    per_class: shots by label for the training images, where they are uneven.
    like: clip_lora draws val first and repeats images (CLIP-LoRA datasets/dtd.py and its other datasets, but ImageNet).
    Class subsets are selected afterwards, so the base classes have the same images as in the draw over all classes.
    """
    generator = random.Random(seed)
    if like == CLIP_LORA:
        first = draw(val, min(shots, MOST_VAL_SHOTS), generator, repeat=True)
        return draw(train, per_class or shots, generator, repeat=True), first
    return draw(train, per_class or shots, generator), draw(val, min(shots, MOST_VAL_SHOTS), generator)


def uneven(labels: Sequence[int], classnames: Sequence[str], shots: int, given: Draw) -> dict[int, int]:
    """Shots by label, of the training images of the classes trained on.

    labels: those of the images; the k-th of C classes has shots / imbalance^(k / (C - 1)), rounded down, at least 1: the
        profile of the long-tailed CIFAR (Cui et al., CVPR 2019; Cao et al., NeurIPS 2019), in the order of the labels.
        With all shots, a class has this share of its own images.
    """
    images = Counter(labels)
    present = sorted(images)
    steps = max(1, len(present) - 1)
    shares = {label: given.imbalance ** (-place / steps) for place, label in enumerate(present)}
    most = {label: images[label] if shots == ALL_SHOTS else shots for label in present}
    counts = {label: max(1, math.floor(most[label] * share + 1e-9)) for label, share in shares.items()}
    for name, number in given.class_shots:
        if name not in classnames:
            raise unknown("class", name, classnames, "class_shots")
        counts |= {label: number for label in present if classnames[label] == name}
    return counts


def noisy(labels: Sequence[int], classes: int, given: Draw, seed: int) -> list[int]:
    """The labels of a seed's training images after a share `given.noise` of them, rounded, has got wrong ones.

    labels: within the C classes trained on, in draw order.
    The images are drawn among all training images, and a symmetric wrong label among the other classes with equal chances;
    pair_flip takes the next class (NLPrompt, CVPR 2025, dassl/data/data_manager.py). A higher share adds wrong labels to those
    of a lower one. Raises a UserError for a single class, and for a share of less than one image.
    """
    if not given.noise:
        return list(labels)
    if classes < 2:
        raise UserError("label_noise: there is one class only, so no label can be wrong; train on more classes.")
    generator = random.Random(f"label noise {seed}")
    order = generator.sample(range(len(labels)), len(labels))
    steps = [1 if given.noise_kind == PAIR_FLIP else generator.randrange(1, classes) for _ in labels]
    number = round(given.noise * len(labels))
    if not number:
        raise UserError(
            f"label_noise: {given.noise:g} of {len(labels)} training images is less than one image; take a higher rate, or 0."
        )
    wrong = set(order[:number])
    return [(label + steps[at]) % classes if at in wrong else label for at, label in enumerate(labels)]


def numbered(manifest: Manifest, split: str, inside: Callable[[int], Any] = lambda label: True) -> list[Numbered]:
    """A split as positions and labels, in listing order, of the labels that are `inside`."""
    return [Numbered(at, item.label) for at, item in enumerate(manifest.splits[split]) if inside(item.label)]


def selection_of(
    manifest: Manifest, shots: int, seed: int, given: Draw = AUTHORS, subset: str = "all"
) -> dict[str, Any]:
    """Draws a selection, as indices into the manifest's train and val listings.

    subset: the classes that an uneven draw is of; the others have none then.
    """
    if shots < 1:
        raise UserError(f"shots: expected 1 or more, got {shots}.")
    if not manifest.splits["train"]:
        raise UserError(
            f"dataset {manifest.dataset!r} has no train split (it is for testing only); train on another dataset."
        )
    subset = subset if given.uneven else "all"
    inside, per_class = set(class_subset(manifest.labels("train"), subset)), None
    train, val = (numbered(manifest, split, inside.__contains__) for split in ("train", "val"))
    if given.uneven:
        per_class = uneven([item.label for item in train], manifest.classnames, shots, given)
    train, val = few_shot(train, val, shots, seed, per_class, given.like)
    return selection(manifest, shots, seed, train, val) | drawn(given.images, subset)


def selection(
    manifest: Manifest, shots: int, seed: int, train: Sequence[Numbered], val: Sequence[Numbered]
) -> dict[str, Any]:
    """The content of a selection's file, without what it says about a draw that is not the authors'."""
    return {
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
    }


def drawn(given: Draw, subset: str) -> dict[str, Any]:
    """What a selection says about a draw that is not the authors'."""
    return {"draw": given.settings, "subset": subset} if given.settings else {}


def save_few_shot(
    path: str | Path, manifest: Manifest, shots: int, seed: int, given: Draw = AUTHORS, subset: str = "all"
) -> None:
    """Writes `selection_of`."""
    io.write_json(path, selection_of(manifest, shots, seed, given, subset))


def load_few_shot(path: str | Path) -> dict:
    """Reads a selection: `train` and `val` are positions in the manifest, `labels` the labels of `train`."""
    return io.read_json(path, "fewshot")
