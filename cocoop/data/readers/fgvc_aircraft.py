"""FGVC-Aircraft by its official train, val and test lists of variants (datasets/fgvc_aircraft.py:26-83)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.data.readers.base import Listing, lines, numbered, text
from cocoop.errors import UserError, did_you_mean, listed
from cocoop.manifest import SPLITS, Item


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """variants.txt and images_variant_<split>.txt in the dataset's folder; `images`. A label is a line number of variants.txt.

    `sha256`: of the official lists, by file name. Other bytes are noted, as the order of a list decides few-shot draws.
    """
    names = lines(folder / "variants.txt")
    labels = numbered(names, folder / "variants.txt")
    splits = {}
    for split in SPLITS:
        path = folder / f"images_variant_{split}.txt"
        splits[split] = [_item(path, line, settings["images"], labels) for line in lines(path)]
    others = [name for name, digest in settings.get("sha256", {}).items() if _sha256(folder / name) != digest]
    notes = [f"not byte for byte the official lists, few-shot draws may differ: {listed(others)}"] if others else []
    return Listing(tuple(names), splits, notes)


def _sha256(path: Path) -> str:
    text(path)  # says what is wrong where it cannot be read
    return io.sha256_file(path)


def _item(path: Path, line: str, images: str, labels: Mapping[str, int]) -> Item:
    image, _, variant = line.partition(" ")  # a variant may hold spaces and slashes
    if variant not in labels:
        raise UserError(f"{path}: unknown variant {variant!r} of image {image}.{did_you_mean(variant, labels)}")
    return Item(f"{images}/{image}.jpg", labels[variant])
