"""The paper's numbers (config/paper), checked before anything runs because every table job reads all of them."""

from functools import cache
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.config.validation import validate

FOLDER = io.REPOSITORY / "config" / "paper"


def read(path: Path) -> dict[str, Any]:
    """Reads and validates one file."""
    content = io.read_yaml(path)
    validate(content, "paper", str(path))
    return content


def names(folder: Path | None = None) -> list[str]:
    """Names of the tables in a folder (default: FOLDER); a UserError if one of its files is not valid."""
    files = sorted((folder or FOLDER).glob("*.yaml"))
    for path in files:
        _content(path, path.read_bytes())
    return [path.stem for path in files]


def digest(name: str | None) -> str | None:
    """Of what a table says, which tables of ours show beside theirs; None without a name."""
    if not name:
        return None
    path = FOLDER / f"{name}.yaml"
    return io.identity(_content(path, path.read_bytes()))


@cache
def _content(path: Path, _: bytes) -> dict[str, Any]:
    return read(path)
