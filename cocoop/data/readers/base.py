"""The result of every reader, and functions to read folders and text files."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cocoop.data.images import is_image
from cocoop.errors import UserError, shown
from cocoop.manifest import Item

TRY_MAT = "import sys, scipy.io; scipy.io.loadmat(sys.argv[1])"
# Usual names of the splits, of folders and in tables.
SPLIT_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{0,18})?")
MISSHAPEN = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)  # variables of another shape in a .mat


class Absent(UserError):
    """A split or annotation file is missing; a fallback reader may not need it."""


@dataclass
class Listing:
    """Class names in label order and the items of the three splits, with paths relative to the dataset's folder."""

    classnames: tuple[str, ...]
    splits: dict[str, list[Item]]
    notes: list[str] = field(default_factory=list)


def numeric_or_text(name: str) -> tuple[int, float, str]:
    """A sort key: names that are numbers (7, 10.0) come first, ordered by value, so that 10 does not follow 1."""
    return (0, float(name), name) if NUMBER.fullmatch(name) else (1, 0, name)


def whole_number(digits: str) -> int | None:
    """The value of up to 18 plain digits; None for anything else (to Python \u00b2 is a digit, too)."""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None


def class_folders(folder: Path, ignore: tuple[str, ...] = ()) -> list[str]:
    """Names of the visible folders in `folder`, in ASCII order. Raises a UserError if there are none or `folder` is missing."""
    entries = _scan(folder)
    names = sorted(e.name for e in entries if not e.name.startswith(".") and e.name not in ignore and os.path.isdir(e))
    if names:
        return names
    flat = sum(is_image(entry.name) for entry in entries)
    found = (
        f"{flat} images but no class folders: move each image into the folder of its class"
        if flat
        else "no class folders"
    )
    raise UserError(f"{folder}: contains {found}.")


def images_below(folder: Path) -> tuple[list[str], list[str]]:
    """Paths of all images in a folder and its subfolders, and of all other visible files, which are in no split.

    Like torchvision's ImageFolder, sorts by folder, then by name, and follows links. A folder, link, or pipe with the name of an
    image counts as an image, so that opening the images reports it.
    """
    images: list[str] = []
    others: list[str] = []
    above = [os.stat(parent) for parent in Path(os.path.realpath(folder)).parents]
    _collect(folder, "", frozenset((found.st_dev, found.st_ino) for found in above), images, others)
    return sorted(images, key=_by_folder), sorted(others, key=_by_folder)


def _collect(folder: Path, place: str, above: frozenset[tuple[int, int]], images: list[str], others: list[str]) -> None:
    entries = _scan(folder / place)
    here = os.stat(folder / place)
    above |= {(here.st_dev, here.st_ino)}
    for entry in entries:
        name = f"{place}{entry.name}"
        if is_image(entry.name):
            images.append(name)
        elif entry.name.startswith("."):
            continue
        elif _leads_down(entry, above):
            _collect(folder, f"{name}/", above, images, others)
        else:
            others.append(name)


def _leads_down(entry: os.DirEntry, above: frozenset[tuple[int, int]]) -> bool:
    """Whether an entry is a folder, but not a link to one of its parents."""
    try:
        if not entry.is_dir():
            return False
        found = entry.stat()
    except OSError:  # a link to itself
        return False
    return (found.st_dev, found.st_ino) not in above


def _by_folder(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name


def lines(path: Path) -> list[str]:
    """The stripped, non-empty lines of a UTF-8 text file."""
    return [line.strip() for line in text(path).split("\n") if line.strip()]


def json_content(path: Path) -> Any:
    """The content of a JSON file."""
    try:
        return json.loads(text(path), parse_constant=_no_json)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); download it again.") from error


def text(path: Path) -> str:
    """The content of a UTF-8 text file, without a byte order mark."""
    _refuse_pipe(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Absent(f"{path}: missing; download the dataset, or put the file there.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error


def mat(path: Path) -> dict[str, Any]:
    """The variables of a MATLAB file."""
    if not path.exists():
        raise Absent(f"{path}: missing; download the dataset, or put the file there.")
    _refuse_pipe(path)
    # A corrupt file can crash the process in SciPy's compiled reader, so another process tries it first.
    tried = subprocess.run([sys.executable, "-c", TRY_MAT, str(path)], capture_output=True)
    if tried.returncode < 0:
        raise UserError(f"{path}: not a readable MATLAB file (reading it crashes); download it again.")
    from scipy.io import loadmat

    try:
        return loadmat(path)
    except Exception as error:  # loadmat can raise nearly any error for a corrupt file
        raise UserError(f"{path}: not a readable MATLAB file ({error}); download it again.") from error


def _refuse_pipe(path: Path) -> None:
    """Raises a UserError for a pipe, which would block forever."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"{path}: not a regular file (a pipe, socket, or device); put a file in its place.")


def in_order(names: Mapping[int, str], path: Path, what: str) -> tuple[str, ...]:
    """Names by label 0..C-1. Raises a UserError for a gap, which would shift all later names.

    what: the term for labels in `path`, where they count from 1.
    """
    absent = next((label for label in range(len(names)) if label not in names), None)
    if absent is not None:
        raise UserError(
            f"{path}: {what}s do not count 1, 2, 3, ... without a gap (none is {absent + 1}); download it again."
        )
    return tuple(names[label] for label in range(len(names)))


def numbered(names: Sequence[str], path: Path) -> dict[str, int]:
    """Each name's place among the lines of `path`; a name that stands twice is a UserError."""
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        if places.setdefault(name, place) != place:
            raise UserError(f"{path}: {shown(name)} appears twice, so later classes would shift; download it again.")
    return places


def malformed(path: Path, line: str, expected: str) -> UserError:
    """The error for an invalid line of an annotation file."""
    return UserError(f"{path}: invalid line {line[:80]!r}; expected {expected}.")


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _scan(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{folder}: no such folder; download the dataset, or put its images there.") from error
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}).") from error
