"""Names of datasets: what they may be, and what a folder's name makes of one."""

import os
import re
import unicodedata
from pathlib import Path

from cocoop.errors import UserError, shown

NAME = re.compile(r"[a-z][a-z0-9_]*")
LONGEST = 60  # the name becomes part of file names


def from_path(path: Path) -> str:
    """The dataset name that a folder or listing gives; UserError with a `--name` to use where it gives none."""
    path = Path(os.path.abspath(Path(path).expanduser()))
    if not path.exists():
        raise UserError(f"{path}: no such file or folder.")
    text = path.stem if path.is_file() else path.name
    name = _plain(text)
    if NAME.fullmatch(name):
        return name
    why = "starts with a digit" if name else "has no letters from a to z"
    raise UserError(
        f"{path}: its name {why}, so it cannot name the dataset; add --name, for example --name {_suggested(text)}."
    )


def checked(name: str) -> str:
    """The name itself, or a UserError with one that would do."""
    if NAME.fullmatch(name) and len(name) <= LONGEST:
        return name
    raise UserError(
        f"dataset name {shown(name)}: take lower-case letters, digits and underscores, a letter first, {LONGEST} at most;"
        f" for example --name {_suggested(name)}."
    )


def _plain(text: str) -> str:
    """Letters without their accents, in lower case, and underscores for everything else that a name cannot have."""
    letters = [letter for letter in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(letter)]
    return re.sub(r"[^a-z0-9]+", "_", "".join(letters)).strip("_")[:LONGEST].rstrip("_")


def _suggested(text: str) -> str:
    name = _plain(text)
    if NAME.fullmatch(name):
        return name
    return f"data_{name}"[:LONGEST].rstrip("_") if name else "my_pictures"
