"""Whether a listing is the dataset it says: classes, published counts, and every image on disk."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from cocoop import io
from cocoop.config.specs import DatasetSpec
from cocoop.data.readers import Listing
from cocoop.errors import UserError, listed
from cocoop.manifest import SPLITS, Item, counts_per_class


def verify(spec: DatasetSpec, folder: Path, listing: Listing) -> None:
    """A UserError at the first thing that does not hold; the cheap and telling checks come first."""
    _classes(spec, folder, listing)
    _missing_images(spec, folder, listing)
    _sizes(spec, folder, listing)
    _every_class(spec, folder, listing)


def observations(listing: Listing) -> list[str]:
    """What a user should know of a listing that is all right: names that two classes share, images that stand twice."""
    notes = []
    shared = sorted(name for name, count in Counter(listing.classnames).items() if count > 1)
    if shared:
        notes.append(f"classes that share a name cannot be told apart by text: {listed(shared)}")
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        both = sorted(_paths(listing, first) & _paths(listing, second))
        if both:
            notes.append(f"leakage: {len(both)} images stand in {first} and in {second}: {listed(both, 3)}")
    return notes + [note for split in SPLITS for note in _twice(listing, split)]


def _twice(listing: Listing, split: str) -> Iterator[str]:
    labels: dict[str, list[int]] = {}
    for item in listing.splits.get(split, ()):
        labels.setdefault(item.path, []).append(item.label)
    again = {path: found for path, found in labels.items() if len(found) > 1}
    several = [path for path, found in again.items() if len(set(found)) > 1]
    same = [path for path in again if path not in set(several)]
    if several:
        yield f"double labels: {len(several)} images stand under more than one class in {split}: {listed(several, 3)}"
    if same:
        yield f"{len(same)} images stand more than once in {split}: {listed(same, 3)}"


def _classes(spec: DatasetSpec, folder: Path, listing: Listing) -> None:
    expected, found = spec.settings.get("classes"), len(listing.classnames)
    if expected not in (None, found):
        raise UserError(
            f"dataset {spec.name!r}: found {found} classes in {folder}, expected {expected}; the dataset is not whole,"
            f" or holds folders that do not belong to it: {listed(listing.classnames)}."
        )
    expected = spec.settings.get("class_list_sha256")
    digest = io.sha256_text("\n".join(listing.classnames))
    if expected not in (None, digest):
        raise UserError(
            f"dataset {spec.name!r}: its class names are not the paper's (sha256 of the list {digest}, expected {expected});"
            f" the first are {listed(listing.classnames, 5)}. Take the official files, or, to keep these names, write"
            f" `class_list_sha256: {digest}` into the dataset's YAML."
        )


def _missing_images(spec: DatasetSpec, folder: Path, listing: Listing) -> None:
    missing = absent(folder, (item for split in SPLITS for item in listing.splits.get(split, ())))
    if not missing:
        return
    total = sum(map(len, listing.splits.values()))
    raise UserError(
        f"dataset {spec.name!r}: {len(missing)} of {total} images are missing; first: {listed(missing, 3)}."
        f" They belong into {folder}.{_nested(folder, missing)}"
    )


def absent(folder: Path, items: Iterable[Item]) -> list[str]:
    """Paths of items that are no entry of their directory; each directory is listed once, no file is opened."""
    directories: dict[str, set[str]] = {}
    missing = []
    for item in items:
        directory, _, name = item.path.rpartition("/")
        if directory not in directories:
            directories[directory] = _names(folder / directory)
        if name not in directories[directory]:
            missing.append(item.path)
    return missing


def _names(directory: Path) -> set[str]:
    try:
        return set(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise UserError(f"{directory}: cannot be read ({error.strerror}).") from error


def _nested(folder: Path, missing: list[str]) -> str:
    """A hint where an archive was unpacked one folder too deep (the usual mistake with Food101)."""
    for inner in (folder / folder.name, folder / missing[0].split("/")[0]):
        if os.path.exists(inner / missing[0]):  # a name that is too long is not there
            return f" They lie one folder too deep, in {inner}: move its content up."
    return " Download the dataset again, or complete your copy."


def _sizes(spec: DatasetSpec, folder: Path, listing: Listing) -> None:
    found = {split: len(listing.splits.get(split, ())) for split in SPLITS}
    wrong = [
        f"{split} {found[split]} (published {size})"
        for split, size in spec.sizes.items()
        if size not in (None, found[split])
    ]
    if wrong:
        raise UserError(
            f"dataset {spec.name!r}: number of images in {folder} is not the published one: {listed(wrong)};"
            " the dataset is not whole, or has files that do not belong to it."
        )


def _every_class(spec: DatasetSpec, folder: Path, listing: Listing) -> None:
    """Without this the reference would shift the names of all later classes, or lose the class's test images."""
    split = "test" if spec.test_only else "train"
    if not listing.splits.get("test"):
        raise UserError(f"dataset {spec.name!r}: no test images in {folder}; nothing could be evaluated.")
    counts = counts_per_class([item.label for item in listing.splits.get(split, ())], len(listing.classnames))
    empty = [name for name, count in zip(listing.classnames, counts, strict=True) if not count]
    if empty:
        raise UserError(f"dataset {spec.name!r}: {len(empty)} classes have no {split} image: {listed(empty)}.")


def _paths(listing: Listing, split: str) -> set[str]:
    return {item.path for item in listing.splits.get(split, ())}
