"""The split and annotation files in a dataset's folder, to notice when files are added, changed or removed later."""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.config.specs import DatasetSpec
from cocoop.data.download.place import gives
from cocoop.errors import UserError

MOST_BYTES = 50_000_000  # only the size of larger files is checked
FILES = ("file", "labels", "names_file", "annotations", "lists", "meta", "train", "val", "test", "images")


def files_now(spec: DatasetSpec, folder: Path) -> dict[str, str]:
    """The sha256, the size, or "folder" of each existing path that the dataset's readers or downloads use."""
    found = {}
    for name in sorted({*_places(spec), *_in_lists(spec, folder)}):
        path = folder / name
        if path.is_dir():
            found[name] = "folder"
        elif path.is_file():
            found[name] = _content(path)
    return found


def _content(path: Path) -> str:
    try:
        size = path.stat().st_size
        return io.sha256_file(path) if size <= MOST_BYTES else f"{size} bytes"
    except OSError:  # another user's, or just deleted; reading the dataset will report it
        return "cannot be read"


def again(spec: DatasetSpec, data_root: Path, stamp: str) -> str:
    """What the name of the download's stamp ends in: "" for the first, then ".2", ".3" and so on.

    It is the latest stamp if the files are those that it records, and otherwise a new one, so that what was made from the
    files before is older than the stamp that will be, even if these files were there at some time before.

    stamp: path of the stamp, with "{again}" for the ending.
    """
    latest = None
    for ending in chain([""], map(".{}".format, count(2))):
        path = stamp.format(again=ending)
        if not os.path.exists(path):
            break
        latest = (ending, path)
    if latest and _recorded(latest[1]) == files_now(spec, data_root / spec.folder):
        return latest[0]
    return ending


def _recorded(stamp: str) -> Any:
    """The files that a stamp records; None if it cannot be read."""
    with suppress(UserError):
        return io.read_json(stamp, "source").get("state")
    return None


def _places(spec: DatasetSpec) -> Iterator[str]:
    for file in spec.settings.get("download", ()):
        yield from gives(file)
    for key in ("reader", "fallback_reader"):
        reader = spec.settings.get(key, {})
        yield from (reader[name] for name in FILES if isinstance(reader.get(name), str))
        yield from reader.get("classnames", ())
        yield from reader.get("sha256", ())


def _in_lists(spec: DatasetSpec, folder: Path) -> Iterator[str]:
    """The files in folders of annotations, but not of images."""
    for key in ("reader", "fallback_reader"):
        reader = spec.settings.get(key, {})
        for place in (reader[name] for name in ("annotations", "lists") if name in reader):
            with suppress(OSError):
                yield from (f"{place}/{entry.name}" for entry in os.scandir(folder / place) if entry.is_file())
