"""Checks of every reader's listing that do not need the disk."""

from pathlib import Path

from cocoop.config.specs import DatasetSpec
from cocoop.data.readers import Listing
from cocoop.errors import UserError, cut
from cocoop.manifest import Item


def well_formed(spec: DatasetSpec, folder: Path, listing: Listing) -> None:
    """Raises a UserError unless names are text, paths are inside the folder, and labels are 0..C-1.

    Other labels would shift the names of classes (Python takes -1 as the last one) or crash a later stage.
    """
    for name in listing.classnames:
        if not _is_text(name):
            raise _not_text(spec, folder, "class", name)
    for split, items in listing.splits.items():
        for item in items:
            if not _is_text(item.path):
                raise _not_text(spec, folder, "image", item.path)
            if item.path.startswith("/") or (".." in item.path and ".." in item.path.split("/")):
                raise UserError(
                    f"dataset {spec.name!r}: image path {item.path!r} of {split} leads out of {folder}; correct the list."
                )
            if not 0 <= item.label < len(listing.classnames):
                raise _no_class(spec, folder, split, item, len(listing.classnames))


def _is_text(name: str) -> bool:
    """Whether a name can be encoded as UTF-8 and used as a path: no lone surrogate (which Python uses for other bytes), no NUL."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in name


def _not_text(spec: DatasetSpec, folder: Path, what: str, name: str) -> UserError:
    return UserError(
        f"dataset {spec.name!r}: the name of {what} {cut(name)!a} in {folder} is not UTF-8 text; rename it"
        " (`convmv` renames many files at once), or correct it in its list."
    )


def _no_class(spec: DatasetSpec, folder: Path, split: str, item: Item, classes: int) -> UserError:
    return UserError(
        f"dataset {spec.name!r}: image {item.path!r} of {split} in {folder} has class number {item.label + 1}, but there are"
        f" only {classes} classes, counted from 1; use images and class names from the same source."
    )
