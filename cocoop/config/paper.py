"""Published numbers (config/paper), checked before anything runs because every table job reads all of them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cocoop import io, places
from cocoop.config.validation import validate
from cocoop.errors import UserError, unknown

FOLDER = places.SHIPPED / "config" / "paper"
PUBLICATIONS = Path("config/publications.yaml")
ACCURACY = "accuracy"


def read(path: Path) -> dict[str, Any]:
    """Reads and validates one file."""
    content = io.read_yaml(path)
    validate(content, "paper", str(path))
    for name, row in content.get("rows", {}).items():
        _check_method(row, f"{path}: rows.{name}")
    if "rows" not in content and "sources" not in content:
        raise UserError(f"{path}: key 'sources' is missing; state the sources, or those of each row in `rows`.")
    for dataset, rows in content["values"].items():
        for name, row in rows.items():
            _check_row(content, name, row, f"{path}: values.{dataset}.{name}")
    return content


def files(folder: Path | None = None) -> dict[str, Path]:
    """The files of tables by name, sorted: those in a folder (default: the shipped ones, and the working folder's, which win)."""
    folders = [folder] if folder else [FOLDER, Path("config/paper")]
    found = {path.stem: path for each in folders for path in each.glob("*.yaml")}
    return dict(sorted(found.items()))


def names(folder: Path | None = None) -> list[str]:
    """Names of the tables of `files`; a UserError if one of them is not valid."""
    found = files(folder)
    for path in found.values():
        _content(path, path.read_bytes())
    return list(found)


def digest(name: str | None) -> str | None:
    """Digest of a table's content, which our tables show next to ours; None without a name."""
    if not name:
        return None
    path = files()[name]
    return io.identity(_content(path, path.read_bytes()))


def measure_of(name: str) -> str:
    """What the numbers of a table are: accuracy, or a name of `cocoop.config.measures`."""
    path = files()[name]
    return _content(path, path.read_bytes()).get("measure", ACCURACY)


def shots_of(content: Mapping[str, Any], row: str) -> int | list[int]:
    """The shots of a row: a list if its numbers are lists."""
    return content.get("rows", {}).get(row, {}).get("shots", content["shots"])


def _check_method(row: Mapping[str, Any], where: str) -> None:
    if not {"variant", "method"} & set(row):
        raise UserError(
            f"{where}: key 'variant' or 'method' is missing; name the variant to compare with, or a method of "
            "config/publications.yaml."
        )
    if "method" in row and row["method"] not in (known := publications()):
        raise unknown("method", row["method"], known, f"{where}.method")


def _check_row(content: Mapping[str, Any], name: str, row: Mapping[str, Any], where: str) -> None:
    if "rows" in content and name not in content["rows"]:
        raise unknown("row", name, content["rows"], where)
    shots = shots_of(content, name)
    wanted = len(shots) if isinstance(shots, list) else None
    for metric, value in row.items():
        count = len(value) if isinstance(value, list) else None
        if metric not in ("parameters", "verified", "std") and count != wanted:
            asked = f"{wanted} numbers, one for each of the shots" if wanted else f"one number, for {shots} shots"
            raise UserError(f"{where}.{metric}: expected {asked}, got {value}.")


def publications() -> dict[str, dict[str, Any]]:
    """The methods behind published numbers by name: the shipped config/publications.yaml under the working folder's."""
    found: dict[str, dict[str, Any]] = {}
    for path in places.layers(str(PUBLICATIONS))[::-1]:
        found |= _publications(path, path.read_bytes())
    return found


@cache
def _publications(path: Path, _: bytes) -> dict[str, dict[str, Any]]:
    content = io.read_yaml(path)
    validate(content, "publications", str(path))
    return content


@cache
def _content(path: Path, _: bytes) -> dict[str, Any]:
    return read(path)
