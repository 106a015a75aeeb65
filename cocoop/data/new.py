"""`dataset new`: a dataset's YAML from a folder of images, a listing, or a CoOp split file."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from cocoop import io
from cocoop.data import naming
from cocoop.data.images import is_image
from cocoop.data.readers.base import class_folders, numeric_or_text
from cocoop.errors import UserError, listed

DATASETS = io.REPOSITORY / "config" / "datasets"
SPLIT_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
FRACTIONS = {"train": 0.5, "val": 0.2, "test": 0.3, "seed": 1}
HEAD = """\
# Written by `dataset new`. Look at the result with `python -m cocoop dataset check {name}`.
# `names` are the class names in prompts, in the order of the sorted class folders: change them as you like, keep the order.
"""


def write_yaml(
    path: Path, name: str, template: str = "a photo of a {}.", title: str | None = None, folder: Path = DATASETS
) -> Path:
    """Writes `folder/name.yaml` for what lies at `path` and returns its path.

    path: a folder with one folder for each class; a folder with train, (val,) and test folders of such; a folder with one
    CSV or JSON listing; or a listing itself. The data stay where they are: the data root gets a link to them.
    """
    path = Path(path).expanduser().absolute()
    out = Path(folder) / f"{naming.checked(name)}.yaml"
    if not re.fullmatch(r"[^{}]*\{\}[^{}]*", template):
        raise UserError(f"template {template!r}: it needs exactly one {{}}, where the class name goes.")
    if out.exists():
        raise UserError(f"{out}: is there already; take another name, or delete it.")
    if not path.exists():
        raise UserError(f"{path}: no such file or folder.")
    reader = _reader(path)
    content = {
        "title": title or name,
        "template": template,
        "link": str(path if path.is_dir() else path.parent),
        "reader": reader,
    }
    head = HEAD if "names" in reader else HEAD.splitlines(keepends=True)[0]
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    io.write_text(out, head.format(name=name) + text)
    return out


def _reader(path: Path) -> dict[str, Any]:
    if path.is_file():
        return _listing(path)
    folders = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    parts = {
        split: next((name for name in folders if name.lower() in names), None) for split, names in SPLIT_FOLDERS.items()
    }
    if parts["train"] and parts["test"]:
        names = sorted(class_folders(path / parts["train"]), key=numeric_or_text)
        return {"kind": "folders", **{split: name for split, name in parts.items() if name}, "names": names}
    listings = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in (".csv", ".json"))
    if len(listings) == 1:
        return _listing(listings[0])
    classes = [name for name in folders if any(is_image(entry.name) for entry in (path / name).iterdir())]
    if len(classes) >= 2:
        ignored = [name for name in folders if name not in classes]
        names = sorted(classes, key=numeric_or_text)
        return {
            "kind": "image_folder", **({"ignore": ignored} if ignored else {}), "split": dict(FRACTIONS), "names": names,
        }  # fmt: skip
    raise UserError(
        f"{path}: found neither class folders with images, nor train and test folders, nor one CSV or JSON listing;"
        f" it holds {listed(folders or [entry.name for entry in sorted(path.iterdir())] or ['nothing'])}."
    )


def _listing(path: Path) -> dict[str, Any]:
    """The reader of a listing; which columns are path, class and split is told by their usual names."""
    if path.suffix.lower() == ".json":
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: no valid JSON ({error}).") from error
        if isinstance(content, dict) and {"train", "val", "test"} <= set(content):
            return {"kind": "coop_split", "file": path.name}
        header = list(content[0]) if isinstance(content, list) and content and isinstance(content[0], dict) else []
    elif path.suffix.lower() == ".csv":
        try:
            with path.open(encoding="utf-8-sig") as file:
                header = [name.strip() for name in file.readline().rstrip("\n").split(",")]
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8 ({error.reason} in its first line); save it as UTF-8.") from error
    else:
        raise UserError(f"{path}: no folder, CSV or JSON file.")
    columns = {role: _column(header, names) for role, names in USUAL_COLUMNS.items()}
    for role in ("path", "class"):
        if columns[role] is None:
            raise UserError(
                f"{path}: cannot tell which column is the {role}; columns: {listed(header)}; call it {role!r}."
            )
    reader: dict[str, Any] = {"kind": "listing", "file": path.name}
    renamed = {role: name for role, name in columns.items() if name and name != role}
    if renamed:
        reader["columns"] = renamed
    if columns["split"] is None:
        reader["split"] = dict(FRACTIONS)
    return reader


USUAL_COLUMNS = {
    "path": ("path", "image", "file", "filename", "filepath", "image_path", "image_id"),
    "class": ("class", "label", "classname", "class_name", "category"),
    "split": ("split", "set", "subset", "partition"),
}


def _column(header: list[str], names: tuple[str, ...]) -> str | None:
    return next((column for name in names for column in header if column.lower() == name), None)
