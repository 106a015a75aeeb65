"""A table of images (CSV, TSV, JSON) with the path, the class and optionally the split of each image."""

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from cocoop.data.readers.base import SPLIT_NAMES, Listing, numeric_or_text
from cocoop.data.readers.building import drawn
from cocoop.data.readers.table import Rows, rows_of
from cocoop.errors import UserError, cut, did_you_mean, listed, shown
from cocoop.manifest import SPLITS, Item

SPLIT_OF = {name: split for split, names in SPLIT_NAMES.items() for name in names}
COLUMNS = {"path": "path", "class": "class", "split": "split"}
DRIVE = re.compile(r"[A-Za-z]:/")


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """Settings: `file`: a table for `rows_of`. `images`: the folder of the paths. `suffix`: missing suffix of paths (".jpg").

    `columns`: names of the columns, by default {path: path, class: class, split: split}. `split`: fractions if there is no split
    column. A label is the rank of the class in sorted order (by value if all names are numbers).
    """
    path = folder / settings["file"]
    columns = COLUMNS | dict(settings.get("columns", {}))
    rows = rows_of(path)
    _check_columns(path, rows, columns)
    classes = sorted({str(row[columns["class"]]) for row in rows}, key=numeric_or_text)
    label_of = {name: label for label, name in enumerate(classes)}
    place = _Place(path, folder, settings.get("images", "."), settings.get("suffix", ""))
    items = [Item(place.of(row[columns["path"]]), label_of[str(row[columns["class"]])]) for row in rows]
    if any(columns["split"] in row for row in rows):
        return Listing(tuple(classes), _by_column(path, rows, items, columns["split"]))
    if "split" not in settings:
        raise UserError(
            f"{path}: no column {columns['split']!r}; add it (train, val, test), or give `split:` fractions in the dataset's YAML."
        )
    groups: list[list[Item]] = [[] for _ in classes]
    for item in items:
        groups[item.label].append(item)
    return Listing(tuple(classes), *drawn(folder, groups, settings["split"], classes))


class _Place:
    """Converts a table's paths to paths relative to the dataset's folder."""

    def __init__(self, table: Path, folder: Path, images: str, suffix: str) -> None:
        self.table, self.folder, self.suffix = table, folder, suffix
        self.prefix = PurePosixPath(images)
        self.homes = [f"{home}/" for home in dict.fromkeys((os.path.abspath(folder), os.path.realpath(folder)))]

    def of(self, value: Any) -> str:
        name = str(value).strip().replace("\\", "/") + self.suffix
        home = next((home for home in self.homes if name.startswith(home)), None)
        inside = name.removeprefix(home) if home else str(self.prefix / name)
        if (name.startswith("/") and home is None) or DRIVE.match(name) or ".." in inside.split("/"):
            raise UserError(
                f"{self.table}: image path {name!r} leads out of the dataset's folder {self.homes[-1][:-1]};"
                " put the images there, and give paths relative to it."
            )
        return inside


def _check_columns(path: Path, rows: Rows, columns: Mapping[str, str]) -> None:
    for role in ("path", "class"):
        for number, row in enumerate(rows, 1):
            value = row.get(columns[role])
            if value is None or not str(value).strip():
                found = [cut(name) for name in row]
                raise UserError(
                    f"{path}: entry {number} has no {columns[role]!r}; its columns: {listed(found)}; name the right one under"
                    f" `reader: columns: {{{role}: ...}}`.{did_you_mean(columns[role], found)}"
                )
            if isinstance(value, list | dict):
                raise UserError(
                    f"{path}: entry {number}: {columns[role]}: expected one {role} for each image, got {cut(value)}."
                )


def _by_column(path: Path, rows: Rows, items: list[Item], column: str) -> dict[str, list[Item]]:
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for number, (row, item) in enumerate(zip(rows, items, strict=True), 1):
        split = SPLIT_OF.get(str(row.get(column)).strip().lower())
        if split is None:
            raise UserError(f"{path}: entry {number}: unknown split {shown(row.get(column))}; take train, val or test.")
        splits[split].append(item)
    return splits
