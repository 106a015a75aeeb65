"""Parses tables of images: CSV in its dialects, TSV, JSON, and JSON lines."""

import csv
import io
import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cocoop.data.readers.base import json_content, text
from cocoop.errors import UserError, cut, listed, shown

TABS, LINES = (".tsv", ".tab"), (".jsonl", ".ndjson")
SUFFIXES = (".csv", *TABS, ".json", *LINES)
DELIMITERS = ",;\t|"
LONGEST_HEADER = 10_000  # characters searched for the delimiter

Rows = list[dict[str, Any]]


def rows_of(path: Path) -> Rows:
    """A mapping from column to value for each image. Raises a UserError for a file without images or of another form.

    Column names are stripped. Values of a CSV file are text without leading spaces.
    """
    readers = {".json": _json_rows, **dict.fromkeys(LINES, _json_lines)}
    rows = readers.get(path.suffix.lower(), _csv_rows)(path)
    if not rows:
        raise UserError(f"{path}: lists no images.")
    return rows


def _json_rows(path: Path) -> Rows:
    try:
        content = json_content(path)
    except UserError:
        if text(path).lstrip().startswith("{"):  # files of JSON lines often have the suffix .json
            return _json_lines(path)
        raise
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return [_stripped(row) for row in content]
    found = f"an object with the keys {listed(map(cut, content), 5)}" if isinstance(content, dict) else "something else"
    raise UserError(f"{path}: expected a JSON list of objects, one for each image, got {found}.")


def _json_lines(path: Path) -> Rows:
    rows = []
    for number, line in enumerate(text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {number}: not valid JSON ({error}); correct it.") from error
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number}: expected a JSON object, got {shown(line)}.")
        rows.append(_stripped(row))
    return rows


def _stripped(row: dict[str, Any]) -> dict[str, Any]:
    return {name.strip(): value for name, value in row.items()}


def _csv_rows(path: Path) -> Rows:
    content = text(path)
    delimiter = _delimiter(path, content)
    lines = io.StringIO(content, newline="")  # a quoted field may contain line feeds
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    try:
        records = [record for record in reader if any(cell.strip() for cell in record)]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not valid CSV ({error}); correct it.") from error
    if not records:
        return []
    header = [name.strip() for name in records[0]]
    _refuse_twice(path, header)
    for number, record in enumerate(records[1:], 1):
        if len(record) > len(header):
            raise UserError(
                f"{path}: entry {number} has {len(record)} cells, but the first line names {len(header)} columns;"
                f" put names that contain {delimiter!r} in double quotes."
            )
    return [dict(zip_longest(header, record)) for record in records[1:]]


def _refuse_twice(path: Path, header: Sequence[str]) -> None:
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise UserError(f"{path}: columns of the same name: {listed(map(cut, twice))}; rename all but one.")


def _delimiter(path: Path, content: str) -> str:
    """The delimiter in the first line, which names the columns; a comma if there is only one column."""
    if path.suffix.lower() in TABS:
        return "\t"
    header = content.lstrip()[:LONGEST_HEADER].splitlines()
    try:
        return csv.Sniffer().sniff(header[0], DELIMITERS).delimiter if header else ","
    except csv.Error:
        return ","
