"""Folders for train, val and test, each with one folder per class."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from cocoop.data.readers.base import SPLIT_NAMES, Listing, class_folders, numeric_or_text
from cocoop.data.readers.image_folder import items_of, left_out
from cocoop.errors import UserError, counted, cut, listed
from cocoop.manifest import SPLITS

VAL_FOR_TEST = "the test images are the validation set (there is no test set with labels), and there is no val split"


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """Settings: `train`, `val` (optional), `test`: the folders. The classes are those of train."""
    classes = sorted(class_folders(folder / settings["train"]), key=numeric_or_text)
    splits, strangers = {}, []
    for split in SPLITS:
        if not settings.get(split):
            continue
        present = class_folders(folder / settings[split])
        unknown = [name for name in present if name not in classes]
        if unknown:
            raise UserError(
                f"{folder / settings[split]}: {counted(len(unknown), 'class', 'classes')} that train does not have:"
                f" {listed(map(cut, unknown))}."
            )
        items, others = items_of(folder, settings[split], present)
        labels = [classes.index(name) for name in present]
        splits[split] = [
            item._replace(label=label) for label, group in sorted(zip(labels, items, strict=True)) for item in group
        ]
        strangers += others
    notes = [VAL_FOR_TEST] if PurePosixPath(settings["test"]).name.lower() in SPLIT_NAMES["val"] else []
    return Listing(tuple(classes), splits, notes + left_out(strangers))
