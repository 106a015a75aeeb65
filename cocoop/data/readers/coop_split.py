"""The CoOp authors' split files: JSON with train, val and test, each a list of [image path, label, class name]."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from cocoop import io
from cocoop.data.readers.base import Listing, json_content
from cocoop.errors import UserError, shown
from cocoop.manifest import SPLITS, Item


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """Settings: `file`: the split file. `images`: the folder of its paths ("." for the dataset's folder, as for StanfordCars).

    `content_sha256`: sha256 of the parsed content, so that whitespace and a final line feed do not matter.
    """
    path = folder / settings["file"]
    content = json_content(path)
    _check_content(path, content, settings.get("content_sha256"))
    prefix = PurePosixPath(settings.get("images", "."))
    names: dict[int, str] = {}
    splits: dict[str, list[Item]] = {}
    for split in SPLITS:
        splits[split] = []
        for entry in _entries(path, content, split):
            image, label, name = entry
            if names.setdefault(label, name) != name:
                raise UserError(f"{path}: label {label} has two class names, {shown(names[label])} and {shown(name)}.")
            splits[split].append(Item(str(prefix / image), label))
    if sorted(names) != list(range(len(names))):
        absent = next(label for label in range(len(names) + 1) if label not in names)
        raise UserError(f"{path}: labels do not count 0, 1, 2, ... without a gap (no image has label {absent}).")
    return Listing(tuple(names[label] for label in range(len(names))), splits)


def content_sha256(content: Any) -> str:
    """sha256 of the parsed content of a split file in canonical form, which does not depend on whitespace."""
    return io.sha256_text(io.canonical_json(content))


def _check_content(path: Path, content: Any, expected: str | None) -> None:
    if expected and content_sha256(content) != expected:
        raise UserError(
            f"{path}: not the paper's split file (sha256 of its content {content_sha256(content)}, expected {expected});"
            " delete it and download it again."
        )


def _entries(path: Path, content: Any, split: str) -> list[tuple[str, int, str]]:
    if not isinstance(content, dict) or not isinstance(content.get(split), list):
        raise UserError(f"{path}: not a split file: expected an object with the lists train, val and test.")
    for entry in content[split]:
        if not (isinstance(entry, list) and list(map(type, entry)) == [str, int, str] and entry[1] >= 0):
            raise UserError(f"{path}: {split}: expected [image path, label, class name], found {str(entry)[:80]}.")
        if not entry[0] or entry[0].startswith("/") or ".." in entry[0].split("/"):
            raise UserError(f"{path}: {split}: image path {shown(entry[0])} leads out of the dataset's folder.")
    return [tuple(entry) for entry in content[split]]
