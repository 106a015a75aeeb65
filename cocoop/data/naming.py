"""Names of datasets: valid names, and names derived from folders."""

import os
import re
import unicodedata
from pathlib import Path

from cocoop.errors import UserError, shown
from cocoop.places import expanded

NAME = re.compile(r"[a-z][a-z0-9_]*")
LONGEST = 60  # the name becomes part of file names


def from_path(path: Path) -> str:
    """The dataset name for a folder or listing. Raises a UserError that suggests a `--name` if there is no valid one."""
    path = Path(os.path.abspath(expanded(path)))
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
    """The name if it is valid; otherwise raises a UserError that suggests a valid one."""
    if NAME.fullmatch(name) and len(name) <= LONGEST:
        return name
    raise UserError(
        f"dataset name {shown(name)}: use at most {LONGEST} lower-case letters, digits and underscores, a letter first;"
        f" for example --name {_suggested(name)}."
    )


def _plain(text: str) -> str:
    """Lower-case letters without accents, with underscores for all other invalid characters."""
    letters = [letter for letter in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(letter)]
    return re.sub(r"[^a-z0-9]+", "_", "".join(letters)).strip("_")[:LONGEST].rstrip("_")


def _suggested(text: str) -> str:
    name = _plain(text)
    if NAME.fullmatch(name):
        return name
    return f"data_{name}"[:LONGEST].rstrip("_") if name else "my_pictures"
