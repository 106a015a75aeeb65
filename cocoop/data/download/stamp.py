"""The stamp of a download, `.sources/NAME.json` in the data root, with the source of each file."""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.errors import CannotWrite, UserError

WHO_MAY = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO | stat.S_ISVTX | stat.S_ISGID


def leave(path: Path, data_root: Path, content: Mapping[str, Any]) -> None:
    """Writes the stamp unless it already exists: in a shared data root, it may belong to another user.

    Another user's stamp is kept if it lists the same files, regardless of its notes.
    """
    with suppress(UserError):
        if io.read_json(path, "source") == content:
            return
    with suppress(OSError):  # `write_json` says what is wrong
        path.parent.mkdir(parents=True, exist_ok=True)
    _share(path.parent, data_root)  # before writing: another user may write at this moment
    try:
        io.write_json(path, content)
    except CannotWrite:
        if _files(path) != content["files"]:
            raise


def _files(path: Path) -> Any:
    try:
        return io.read_json(path, "source").get("files")
    except UserError:
        return None


def _share(folder: Path, data_root: Path) -> None:
    """Gives the folder of the stamp the write permissions of the data root; Snakemake created it for one user."""
    if folder.parent.resolve() == data_root.resolve() and os.access(folder, os.W_OK):
        with suppress(OSError):  # belongs to another user
            folder.chmod(stat.S_IMODE(data_root.stat().st_mode) & WHO_MAY)
