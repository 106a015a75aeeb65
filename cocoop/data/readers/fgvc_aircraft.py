"""FGVC-Aircraft with its official train, val and test lists of variants (datasets/fgvc_aircraft.py:26-83)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.data.readers.base import Listing, lines, numbered, text
from cocoop.errors import UserError, did_you_mean, listed
from cocoop.manifest import SPLITS, Item


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """Reads variants.txt and images_variant_<split>.txt in the dataset's folder. A label is a line number in variants.txt.

    Settings: `images`: folder of the images. `sha256`: sha256 of the official lists by file name. A note mentions lists that
    differ, because their order affects few-shot draws.
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
    text(path)  # raises the right error if the file cannot be read
    return io.sha256_file(path)


def _item(path: Path, line: str, images: str, labels: Mapping[str, int]) -> Item:
    image, _, variant = line.partition(" ")  # a variant may contain spaces and slashes
    if variant not in labels:
        raise UserError(f"{path}: unknown variant {variant!r} of image {image}.{did_you_mean(variant, labels)}")
    return Item(f"{images}/{image}.jpg", labels[variant])
