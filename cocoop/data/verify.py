"""Checks that a listing is the expected dataset: classes, published counts, and all images on disk."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cocoop import io
from cocoop.config.specs import DatasetSpec
from cocoop.data.names import Tokenize, too_long
from cocoop.data.on_disk import ABSENT, LINKS, unusable
from cocoop.data.readers import Listing
from cocoop.errors import UserError, counted, cut, listed
from cocoop.manifest import SPLITS, counts_per_class


def verify(spec: DatasetSpec, folder: Path, listing: Listing, tokenize: Tokenize | None = None) -> None:
    """Raises a UserError for the first problem."""
    for problem in problems(spec, folder, listing, tokenize):
        raise UserError(f"dataset {spec.name!r}: {problem}")


def problems(spec: DatasetSpec, folder: Path, listing: Listing, tokenize: Tokenize | None = None) -> Iterator[str]:
    """All problems; quick and informative checks come first. Checks the length of prompts if `tokenize` is given."""
    yield from _classes(spec, folder, listing)
    yield from _missing_images(folder, listing)
    yield from _sizes(spec, folder, listing)
    yield from _every_class(spec, folder, listing)
    if tokenize and (problem := too_long(spec.template, listing.classnames, tokenize)):
        yield f"{problem}."


def _classes(spec: DatasetSpec, folder: Path, listing: Listing) -> Iterator[str]:
    shown = listed(map(cut, listing.classnames))
    expected, found = spec.settings.get("classes"), len(listing.classnames)
    if expected not in (None, found):
        yield (
            f"found {found} classes in {folder}, expected {expected}; the dataset is incomplete,"
            f" or contains folders that do not belong to it: {shown}."
        )
    expected = spec.settings.get("class_list_sha256")
    digest = io.sha256_text("\n".join(listing.classnames))
    if expected not in (None, digest):
        first = listed(map(cut, listing.classnames), 5)
        yield (
            f"its class names are not the paper's (sha256 of the list {digest}, expected {expected});"
            f" the first are {first}. Use the official files, or, to keep these names, write"
            f" `class_list_sha256: {digest}` into the dataset's YAML."
        )


def _missing_images(folder: Path, listing: Listing) -> Iterator[str]:
    missing = unusable(folder, (item for split in SPLITS for item in listing.splits.get(split, ())))
    if not missing:
        return
    total = sum(map(len, listing.splits.values()))
    paths = [path for path, _ in missing]
    kinds = Counter(kind for _, kind in missing)
    why = "" if set(kinds) == {ABSENT} else f" ({_counted(kinds)})"
    yield (
        f"{len(missing)} of {total} images are missing{why}; first: {listed(paths, 3)}."
        f" They belong in {folder}.{_advice(folder, paths, kinds)}"
    )


def _counted(kinds: Counter[str]) -> str:
    if len(kinds) == 1:
        return next(iter(kinds))
    return listed(f"{kind}: {count}" for kind, count in kinds.most_common())


def _advice(folder: Path, missing: list[str], kinds: Counter[str]) -> str:
    """Advice; a common mistake with Food101 is to unpack the archive one folder too deep."""
    if LINKS in kinds:
        return " Fetch the targets of the links (`datalad get .`, `git annex get .`), or copy the images there."
    if set(kinds) != {ABSENT}:
        return " Replace them by readable image files, or remove them from the dataset."
    for inner in (folder / folder.name, folder / missing[0].split("/")[0], *_folders(folder)):
        if os.path.lexists(inner / missing[0]):  # False for a name that is too long
            place = inner.relative_to(folder)
            return (
                f" They lie one folder too deep, in {inner}: move its content up,"
                f" or write `images: {place}` under `reader:` where it takes that."
            )
    return " Download the dataset again, or complete your copy."


def _folders(folder: Path) -> list[Path]:
    return sorted(Path(entry) for entry in os.scandir(folder) if entry.is_dir())


def _sizes(spec: DatasetSpec, folder: Path, listing: Listing) -> Iterator[str]:
    found = {split: len(listing.splits.get(split, ())) for split in SPLITS}
    wrong = [
        f"{split} {found[split]} (published {size})"
        for split, size in spec.sizes.items()
        if size not in (None, found[split])
    ]
    if wrong:
        yield (
            f"number of images in {folder} is not the published one: {listed(wrong)};"
            " the dataset is incomplete, or has files that do not belong to it."
        )


def _every_class(spec: DatasetSpec, folder: Path, listing: Listing) -> Iterator[str]:
    """Checks that every class has images; otherwise, the reference would shift the names of later classes or skip a class."""
    split = "test" if spec.test_only else "train"
    if not listing.splits.get("test"):
        others = [other for other in SPLITS if listing.splits.get(other)]
        hint = f" There are images of {' and '.join(others)}: rename one of these splits to test." if others else ""
        yield f"no test images in {folder}; nothing could be evaluated.{hint}"
    counts = counts_per_class([item.label for item in listing.splits.get(split, ())], len(listing.classnames))
    empty = [cut(name) for name, count in zip(listing.classnames, counts, strict=True) if not count]
    if empty:
        yield f"{counted(len(empty), 'class has', 'classes have')} no {split} image: {listed(empty)}."
