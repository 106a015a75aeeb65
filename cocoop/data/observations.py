"""Notes about a valid dataset for its manifest, one line each."""

import math
from collections.abc import Iterator

from cocoop.data import names
from cocoop.data.names import Tokenize
from cocoop.data.readers import Listing
from cocoop.errors import counted, cut, listed, shown
from cocoop.manifest import SPLITS, Item, counts_per_class

COMMON_SHOTS = 16  # shots in the paper's main tables


def observations(listing: Listing, tokenize: Tokenize | None = None) -> list[str]:
    """Notes on class names, on classes with few images, and on images that occur more than once.

    tokenize: returns the token ids of a text; without it, names are compared as text.
    """
    return [
        *names.notes(listing.classnames, tokenize),
        *_halves(listing.classnames),
        *_few_images(listing),
        *_untested(listing),
        *_across(listing),
        *(note for split in SPLITS for note in _twice(listing, split)),
    ]


def _halves(classnames: tuple[str, ...]) -> Iterator[str]:
    """Notes on subsets with a single class, where every prediction is correct."""
    count = len(classnames)
    base = math.ceil(count / 2)
    single = [half for half, size in (("base", base), ("new", count - base)) if size == 1]
    if count == 1:
        yield f"only one class, {shown(classnames[0])}: every prediction is correct, so accuracy is 100% by definition"
    elif single:
        halves = "each half (base and new) has" if len(single) == 2 else f"the {single[0]} half has"
        yield (
            f"with {count} classes {halves} one class, which cannot be confused with any other:"
            " base-to-new accuracy there is 100% by definition"
        )


def _few_images(listing: Listing) -> Iterator[str]:
    train = listing.splits.get("train")
    if not train:
        return
    counts = counts_per_class([item.label for item in train], len(listing.classnames))
    few = [count for count in counts if count < COMMON_SHOTS]
    if few:
        smallest = listing.classnames[counts.index(min(few))]
        yield (
            f"{counted(len(few), 'class has', 'classes have')} fewer than {COMMON_SHOTS} training images (fewest:"
            f" {shown(smallest)} with {min(few)}); with more shots than that, training uses all images of such a class"
        )


def _untested(listing: Listing) -> Iterator[str]:
    counts = counts_per_class([item.label for item in listing.splits.get("test", ())], len(listing.classnames))
    empty = [cut(name) for name, count in zip(listing.classnames, counts, strict=True) if not count]
    if empty and len(empty) < len(counts):
        yield f"{counted(len(empty), 'class has', 'classes have')} no test image: {listed(empty, 5)}"


def _across(listing: Listing) -> Iterator[str]:
    paths = {split: {item.path for item in listing.splits.get(split, ())} for split in SPLITS}
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        both = sorted(paths[first] & paths[second])
        if both:
            yield f"leakage: {counted(len(both), 'image is', 'images are')} in {first} and in {second}: {listed(both, 3)}"


def _twice(listing: Listing, split: str) -> Iterator[str]:
    items: tuple[Item, ...] = tuple(listing.splits.get(split, ()))
    labels: dict[str, list[int]] = {}
    for item in items:
        labels.setdefault(item.path, []).append(item.label)
    again = {path: found for path, found in labels.items() if len(found) > 1}
    several = [path for path, found in again.items() if len(set(found)) > 1]
    same = [path for path in again if path not in set(several)]
    if several:
        number = counted(len(several), "image has", "images have")
        yield f"double labels: {number} more than one class in {split}: {listed(several, 3)}"
    if same:
        yield f"{counted(len(same), 'image is', 'images are')} listed more than once in {split}: {listed(same, 3)}"
