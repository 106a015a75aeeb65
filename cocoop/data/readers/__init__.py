"""Readers of datasets: one small module per on-disk format, selected by `reader: kind`."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from cocoop.data.readers.base import Absent, Listing
from cocoop.errors import UserError, cut, did_you_mean, listed, shown, unknown

__all__ = ["KINDS", "Absent", "Listing", "read"]

Reader = Callable[[Mapping[str, Any], Path], Listing]
KINDS = (
    "coop_split",
    "fgvc_aircraft",
    "folders",
    "image_folder",
    "imagenet",
    "listing",
    "oxford_flowers",
    "oxford_pets",
    "stanford_cars",
    "sun397",
    "ucf101",
)


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """Reads a dataset's folder with the reader `settings["kind"]`; replaces class names according to `names` or `rename`.

    Raises `Absent` for a missing annotation or split file, so that a fallback can be tried, and a UserError for other problems.
    """
    kind = settings["kind"]
    if kind not in KINDS:
        raise unknown("reader", kind, KINDS, "reader: kind")
    reader: Reader = import_module(f"{__name__}.{kind}").read
    listing = reader(settings, folder)
    listing.classnames = _named(listing.classnames, settings, folder)
    return listing


def _named(found: tuple[str, ...], settings: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    """Class names, replaced according to `names` (all, in label order) or `rename` (some, from old to new)."""
    names, rename = settings.get("names"), settings.get("rename", {})
    if names is not None and len(names) != len(found):
        raise UserError(
            f"{folder}: reader: names has {len(names)} class names, found {len(found)} classes: {listed(map(cut, found))};"
            " give one name for each, in this order."
        )
    for old in rename:
        if old not in found:
            raise UserError(
                f"{folder}: reader: rename: no class {shown(old)}; found {listed(found)}.{did_you_mean(old, found)}"
            )
    return tuple(names) if names is not None else tuple(rename.get(name, name) for name in found)
