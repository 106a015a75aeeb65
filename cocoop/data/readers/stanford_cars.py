"""Stanford Cars from its MATLAB annotations (datasets/stanford_cars.py:56-77)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cocoop.data.readers.base import MISSHAPEN, Listing, mat
from cocoop.data.readers.building import DEFAULT_SEED, trainval
from cocoop.errors import UserError
from cocoop.manifest import Item


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """Settings: `train`, `test`, `meta`: the .mat files; `seed`. Images are in cars_train/ and cars_test/.

    The year, which is the last word of a name, moves to the front.
    """
    names = tuple(_year_first(name) for name in _class_names(folder / settings["meta"]))
    official = _items(folder / settings["train"], "cars_train")
    test = _items(folder / settings["test"], "cars_test")
    train, val = trainval(official, settings.get("seed", DEFAULT_SEED))
    return Listing(names, {"train": train, "val": val, "test": test})


def _class_names(path: Path) -> list[str]:
    try:
        return [str(name[0]) for name in mat(path)["class_names"][0]]
    except MISSHAPEN as error:
        raise UserError(f"{path}: no Stanford Cars class names inside ({error}); download it again.") from error


def _items(path: Path, images: str) -> list[Item]:
    try:
        return [
            Item(f"{images}/{entry['fname'][0]}", int(entry["class"][0, 0]) - 1)
            for entry in mat(path)["annotations"][0]
        ]
    except MISSHAPEN as error:
        raise UserError(
            f"{path}: no Stanford Cars annotations with labels inside ({error}); the test set needs"
            " cars_test_annos_withlabels.mat, not cars_test_annos.mat."
        ) from error


def _year_first(name: str) -> str:
    rest, _, year = name.rpartition(" ")
    return f"{year} {rest}".strip()
