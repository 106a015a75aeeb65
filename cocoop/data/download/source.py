"""Puts a dataset into the data root: links it, draws it, or downloads and unpacks it, one process at a time."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.config.specs import DatasetSpec
from cocoop.data.download.earlier import SCRATCH, record_drawing, record_path, refuse_other_files
from cocoop.data.download.extract import merge, unpack
from cocoop.data.download.fetch import fetch
from cocoop.data.download.lock import locked
from cocoop.data.download.place import gives, is_there, link, manual, missing, read_places, refuse_to_touch
from cocoop.errors import CannotWrite, UserError, listed


def obtain(spec: DatasetSpec, data_root: Path, offline: bool) -> dict[str, Any]:
    """Downloads missing files and returns {"files": [...], "notes": [...]}. Does not touch a complete dataset."""
    folder = data_root / spec.folder
    refuse_other_files(spec, folder)
    if "link" in spec.settings or missing(spec, folder):
        with locked(spec, data_root):
            notes = _download_missing(spec, folder, offline)
    elif _missing(spec, folder, "optional") and not offline and _may_write(data_root, folder):
        with locked(spec, data_root):
            notes = _download(spec, folder)
    else:
        notes = [f"{file['file']} is missing" for file in _missing(spec, folder, "optional")]
    return {"files": _records(spec, folder), "notes": notes}


def _missing(spec: DatasetSpec, folder: Path, kind: str) -> list[Mapping[str, Any]]:
    """The missing files that are marked "optional" or "fallback"."""
    return [file for file in spec.settings.get("download", ()) if file.get(kind) and not is_there(folder, file)]


def _may_write(data_root: Path, folder: Path) -> bool:
    """Whether files may be written: not into a user's copy, nor into a data root or folder without write permission."""
    return not folder.is_symlink() and all(os.access(place, os.W_OK) for place in (data_root, folder))


def _download_missing(spec: DatasetSpec, folder: Path, offline: bool) -> list[str]:
    if "link" in spec.settings:
        link(spec, folder)
    lacking = missing(spec, folder)
    if not lacking:
        return []
    if folder.is_symlink():
        raise refuse_to_touch(spec, folder, lacking)
    if "miniature" in spec.settings:
        _draw(spec, folder)
        return []
    if "download" not in spec.settings:
        raise _by_hand(spec, folder, lacking)
    if offline:
        raise UserError(
            f"dataset {spec.name!r}: offline, but {folder} lacks {listed(lacking)}; put it there, or run the download once"
            f" with internet access.{manual(spec)}"
        )
    return _download(spec, folder)


def _download(spec: DatasetSpec, folder: Path) -> list[str]:
    """Downloads all files; returns the errors for files that are not strictly needed."""
    try:
        for file in spec.settings["download"]:
            if not file.get("optional") and not file.get("fallback"):
                _download_file(file, folder)
    except CannotWrite:
        raise
    except UserError as error:
        _download_mirror(spec, folder, error)
    failures = [failure for file in _missing(spec, folder, "optional") for failure in _download_optional(file, folder)]
    if failures:
        failures += [
            failure for file in _missing(spec, folder, "fallback") for failure in _download_optional(file, folder)
        ]
    for failure in failures:
        _say(f"dataset {spec.name!r}: {failure}")
    return failures


def _download_mirror(spec: DatasetSpec, folder: Path, error: UserError) -> None:
    mirror = spec.settings.get("mirror")
    if mirror is None:
        raise UserError(f"dataset {spec.name!r}: {error}{manual(spec)}") from error
    _say(f"dataset {spec.name!r}: {error} Trying the mirror.")
    try:
        _download_file(mirror, folder)
    except UserError as second:
        raise UserError(f"dataset {spec.name!r}: {error} The mirror failed as well: {second}{manual(spec)}") from second


def _download_optional(file: Mapping[str, Any], folder: Path) -> list[str]:
    """Downloads a file that the dataset does not strictly need; returns the error, if any."""
    try:
        _download_file(file, folder)
    except CannotWrite:
        raise
    except UserError as error:
        return [str(error)]
    return []


def _download_file(file: Mapping[str, Any], folder: Path) -> None:
    """Downloads a file, unpacks it if it is an archive, and records it; it appears in the folder complete or not at all.

    It writes the record first, so that another process never finds images without a record of their source.
    """
    if is_there(folder, file):
        return
    with _scratch(folder) as scratch:
        _room(file, scratch)
        got = fetch(file, scratch)
        if not got.verified:
            _say(f"{file['file']}: there is no published checksum; recorded sha256 {got.sha256}")
        try:
            with _staged(file, got.path, scratch) as staging:
                record = {"url": got.url, "file_sha256": got.sha256, "bytes": got.bytes, "verified": got.verified}
                body = {"schema": 1, "kind": "fetched", "file": file["file"], **record}
                io.write_json(record_path(folder, file), body)
                merge(staging, folder)
        finally:
            got.path.unlink(missing_ok=True)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """The scratch folder, after deleting what a killed process left half unpacked; a failure leaves no empty folder."""
    scratch = folder / SCRATCH
    scratch.mkdir(parents=True, exist_ok=True)
    for left in scratch.glob("unpacking-*"):
        shutil.rmtree(left)
    try:
        yield scratch
    finally:
        for directory in (scratch, folder):
            if not any(directory.iterdir()):
                directory.rmdir()


@contextmanager
def _staged(file: Mapping[str, Any], fetched: Path, scratch: Path) -> Iterator[Path]:
    """A folder next to the dataset with the content of the file, laid out as in the dataset's folder."""
    with tempfile.TemporaryDirectory(prefix="unpacking-", dir=scratch) as name:
        staging = Path(name) / "all"
        staging.mkdir()
        if "extract" in file:
            _unpack(file, fetched, staging)
        else:
            fetched.replace(staging / file["file"])
        yield staging


def _unpack(file: Mapping[str, Any], archive: Path, staging: Path) -> None:
    how = file["extract"]
    target = staging / how.get("into", ".")
    target.mkdir(parents=True, exist_ok=True)
    unpack(archive, target, file["file"], how.get("strip", ""))
    for inner in how.get("inner", ()):
        if not (staging / inner).is_file():
            raise UserError(f"{file['file']}: contains no {inner}, so its layout is not the expected one.")
        unpack(staging / inner, (staging / inner).parent, f"{inner} in {file['file']}")
        (staging / inner).unlink()
    lacking = [place for place in gives(file) if not (staging / place).exists()]
    if lacking:
        found = listed(sorted(entry.name for entry in staging.iterdir()))
        raise UserError(f"{file['file']}: unexpected layout of the archive: no {listed(lacking)} in {found}.")


def _room(file: Mapping[str, Any], folder: Path) -> None:
    needed = file.get("bytes", 0) * (2 if "extract" in file else 1)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder}: {file['file']} needs about {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free; make room."
        )


def _draw(spec: DatasetSpec, folder: Path) -> None:
    from cocoop.demo import miniatures

    folder.parent.mkdir(parents=True, exist_ok=True)
    miniature = spec.settings["miniature"]
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as name:
        staging = Path(name) / "all"
        miniatures.draw(miniature["name"], staging, seed=miniature.get("seed", 0))
        record_drawing(miniature, staging)
        merge(staging, folder)


def _records(spec: DatasetSpec, folder: Path) -> list[dict[str, Any]]:
    """The record of each file with its source; only the name for files that a user put there."""
    records: list[dict[str, Any]] = []
    if "miniature" in spec.settings:
        records.append({"drawn": dict(spec.settings["miniature"])})
    if "link" in spec.settings:
        records.append({"linked": spec.settings["link"]})
    mirror = [spec.settings["mirror"]] if "mirror" in spec.settings else []
    for file in [*spec.settings.get("download", ()), *mirror]:
        path = record_path(folder, file)
        if path.exists() and is_there(folder, file):
            record = io.read_json(path, "fetched")
            records.append({key: record[key] for key in ("file", "url", "file_sha256", "bytes", "verified")})
        elif is_there(folder, file) and file not in mirror:
            records.append({"file": file["file"], "found": list(gives(file))})
    return records or [{"found": read_places(spec)}]


def _by_hand(spec: DatasetSpec, folder: Path, lacking: list[str]) -> UserError:
    advice = manual(spec) or " Put it there, or give the path of your copy in the dataset's YAML: `link: /path/to/it`."
    return UserError(f"dataset {spec.name!r}: {folder} lacks {listed(lacking)}.{advice}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
