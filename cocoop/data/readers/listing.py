"""A CSV or JSON listing: for each image its path, its class, and, if there is a column for it, its split."""

import csv
import io as text_io
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from cocoop.data.readers.base import Listing, json_content, numeric_or_text, text
from cocoop.data.readers.building import by_fractions
from cocoop.errors import UserError, did_you_mean, listed, shown
from cocoop.manifest import SPLITS, Item

SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """`file`: a CSV with a header, or a JSON list of objects. `images`: the folder the paths start at.

    `columns`: what the columns are called, by default {path: path, class: class, split: split}. Without a split column,
    `split` says the fractions. A label is the rank of the class among the sorted ones (by value where all are numbers).
    """
    path = folder / settings["file"]
    columns = {"path": "path", "class": "class", "split": "split"} | dict(settings.get("columns", {}))
    rows = _rows(path)
    _check_columns(path, rows, columns)
    classes = sorted({str(row[columns["class"]]) for row in rows}, key=numeric_or_text)
    label_of = {name: label for label, name in enumerate(classes)}
    prefix = PurePosixPath(settings.get("images", "."))
    items = [Item(_image(path, row, columns, prefix), label_of[str(row[columns["class"]])]) for row in rows]
    if columns["split"] in rows[0]:
        return Listing(tuple(classes), _by_column(path, rows, items, columns["split"]))
    if "split" not in settings:
        raise UserError(
            f"{path}: no column {columns['split']!r}; add it (train, val, test), or give `split:` fractions in the dataset's YAML."
        )
    groups: list[list[Item]] = [[] for _ in classes]
    for item in items:
        groups[item.label].append(item)
    return Listing(tuple(classes), by_fractions(groups, settings["split"], classes))


def _rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix.lower() == ".json":
        rows = json_content(path)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise UserError(f"{path}: expected a JSON list of objects, one for each image.")
    else:
        rows = _csv_rows(path)
    if not rows:
        raise UserError(f"{path}: lists no images.")
    return rows


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    reader = csv.DictReader(text_io.StringIO(text(path), newline=""))  # a quoted field may hold line feeds
    try:
        return list(reader)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num + 1}: no valid CSV ({error}); correct it.") from error


def _check_columns(path: Path, rows: list[dict[str, Any]], columns: Mapping[str, str]) -> None:
    for role in ("path", "class"):
        for number, row in enumerate(rows, 1):
            if row.get(columns[role]) in (None, ""):
                found = [str(name) for name in row]
                raise UserError(
                    f"{path}: entry {number} has no {columns[role]!r}; its columns: {listed(found)}; name the right one under"
                    f" `reader: columns: {{{role}: ...}}`.{did_you_mean(columns[role], found)}"
                )


def _image(path: Path, row: Mapping[str, Any], columns: Mapping[str, str], prefix: PurePosixPath) -> str:
    name = str(row[columns["path"]]).replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/"):
        raise UserError(
            f"{path}: image path {shown(name)} leads out of the dataset's folder; give paths relative to {prefix}."
        )
    return str(prefix / name)


def _by_column(path: Path, rows: list[dict[str, Any]], items: list[Item], column: str) -> dict[str, list[Item]]:
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for number, (row, item) in enumerate(zip(rows, items, strict=True), 1):
        split = SPLIT_NAMES.get(str(row.get(column)).strip().lower())
        if split is None:
            raise UserError(f"{path}: entry {number}: unknown split {shown(row.get(column))}; take train, val or test.")
        splits[split].append(item)
    return splits
