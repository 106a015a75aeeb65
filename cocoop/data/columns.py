"""Guesses for `dataset new` which columns of a table are paths, classes and splits, and in which folder the images are."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cocoop.data.images import EXTENSIONS, is_image
from cocoop.data.names import is_code
from cocoop.data.readers.listing import COLUMNS, SPLIT_OF
from cocoop.data.readers.table import Rows, rows_of
from cocoop.errors import UserError, cut, listed, shown

USUAL = {  # common column names in lower case, without spaces, _ and -; the most likely first
    "path": (
        "path", "imagepath", "imgpath", "filepath", "filepaths", "filename", "filenames", "file", "files", "imagefile",
        "imagename", "imgname", "image", "images", "img", "paths", "imageid", "imgid", "id",
    ),
    "class": (
        "classname", "labelname", "categoryname", "class", "label", "labels", "classes", "category", "categories",
        "species", "breed", "name", "target", "classid", "labelid", "categoryid", "classindex",
    ),
    "split": ("split", "set", "subset", "partition", "phase", "dataset"),
}  # fmt: skip
SAMPLE = 50  # number of paths that are looked up
MOST_FOLDERS = 500


class Ambiguous(UserError):
    """A table whose images exist in several places."""


def settings_of(table: Path) -> tuple[dict[str, Any], bool]:
    """Settings of the listing reader for a table, and whether it has splits. Raises a UserError if it does not list images."""
    rows = rows_of(table)
    columns = {role: name for role in USUAL if (name := _column(role, rows)) is not None}
    for role in ("path", "class"):
        if role not in columns:
            found = listed(map(cut, rows[0])) or "none"
            raise UserError(
                f"{table}: cannot tell which column is the {role}; columns: {found}; call it {role!r}."
                " The first line must name the columns, with commas, semicolons, or tabs between them."
            )
    kinds = {str(row.get(columns["class"])) for row in rows}
    if len(kinds) == len(rows) > 1:
        raise UserError(f"{table}: contains each of its {len(rows)} classes only once, so it is not a list of images.")
    renamed = {role: name for role, name in columns.items() if name != COLUMNS[role]}
    names = [str(row.get(columns["path"])).strip().replace("\\", "/") for row in rows]
    settings: dict[str, Any] = {"kind": "listing", "file": table.name, **_place(table, names)}
    return settings | ({"columns": renamed} if renamed else {}), "split" in columns


def _column(role: str, rows: Rows) -> str | None:
    """The column for a role with the most likely name; for classes preferably with words, for splits with names of splits."""
    plain = {"".join(character for character in name.lower() if character not in " _-"): name for name in rows[0]}
    candidates = [plain[name] for name in USUAL[role] if name in plain]
    if role == "class":
        words = [name for name in candidates if not all(is_code(str(row.get(name))) for row in rows)]
        candidates = words or candidates
    if role == "split":
        candidates = [name for name in candidates if name.lower() == role or _has_splits(rows, name)]
    return candidates[0] if candidates else None


def _has_splits(rows: Rows, column: str) -> bool:
    return any(str(row.get(column)).strip().lower() in SPLIT_OF for row in rows)


def _place(table: Path, names: Sequence[str]) -> dict[str, str]:
    """`images` and `suffix`: the folder and the file suffix with which most images exist."""
    sample = names[:: max(1, len(names) // SAMPLE)]
    ids = not any(is_image(name.rpartition("/")[2]) for name in sample)
    found: dict[tuple[str, str], int] = {}
    for folder in _folders(table.parent):
        endings = _endings(table.parent / folder) if ids else [""]
        for ending in endings:
            found[folder, ending] = sum(os.path.lexists(table.parent / folder / (name + ending)) for name in sample)
    most = max(found.values(), default=0)
    best = [place for place, count in found.items() if count == most]
    if most == 0:
        raise UserError(
            f"{table}: none of the images it lists is in {table.parent} or in a folder there; first: {shown(names[0])}; give"
            " paths relative to the table's folder."
        )
    if len(best) > 1 and best[0][0] != ".":
        where = listed(str(Path(folder) / f"{sample[0]}{ending}") for folder, ending in best)
        raise Ambiguous(f"{table}: cannot tell which images it lists: {where}; write the folder in front of each path.")
    folder, ending = best[0]
    return ({"images": folder} if folder != "." else {}) | ({"suffix": ending} if ending else {})


def _folders(home: Path) -> Iterator[str]:
    """The table's folder, its subfolders and their subfolders, without hidden ones."""
    first = _visible(home)
    second = [f"{outer}/{inner}" for outer in first for inner in _visible(home / outer)]
    yield from [".", *first, *second][:MOST_FOLDERS]


def _visible(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith(".") and entry.is_dir())
    except OSError:
        return []


def _endings(folder: Path) -> list[str]:
    """The suffixes of the image files in a folder."""
    try:
        endings = {os.path.splitext(name)[1] for name in os.listdir(folder)}
    except OSError:
        return []
    return sorted(ending for ending in endings if ending.lower() in EXTENSIONS)
