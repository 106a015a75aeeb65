"""Checks that the images of a listing are readable files, and the same as before, without opening them."""

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cocoop import io
from cocoop.errors import UserError
from cocoop.manifest import SPLITS, Item

ABSENT, LINKS = "missing", "broken links"
KINDS = {stat.S_IFDIR: "folders", stat.S_IFIFO: "pipes", stat.S_IFSOCK: "sockets"}


def unusable(folder: Path, items: Iterable[Item]) -> list[tuple[str, str]]:
    """(path, reason) of each item that is not a readable file. Lists each directory once and opens no file."""
    directories: dict[str, dict[str, os.DirEntry]] = {}
    found = []
    for item in items:
        directory, _, name = item.path.rpartition("/")
        if directory not in directories:
            directories[directory] = _entries(folder / directory)
        kind = _fault(directories[directory].get(name))
        if kind:
            found.append((item.path, kind))
    return found


def image_bytes(folder: Path, splits: Mapping[str, Sequence[Item]]) -> str:
    """Digest of the size in bytes of each image file, 0 for a missing one."""
    sizes = [[_size(f"{folder}/{item.path}") for item in splits.get(split, ())] for split in SPLITS]
    return io.identity(*sizes)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _fault(entry: os.DirEntry | None) -> str | None:
    if entry is None:
        return ABSENT
    try:
        if entry.is_file():
            return None if os.access(entry.path, os.R_OK) else "files you may not read"
        return KINDS.get(stat.S_IFMT(entry.stat().st_mode), "devices")
    except OSError:  # deleted, or a link to itself
        return LINKS


def _entries(directory: Path) -> dict[str, os.DirEntry]:
    try:
        with os.scandir(directory) as entries:
            return {entry.name: entry for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UserError(f"{directory}: cannot be read ({error.strerror}).") from error
