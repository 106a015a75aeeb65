"""Records of what was drawn or downloaded into a dataset's folder, to notice that its YAML file now asks for something else."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.config.specs import DatasetSpec
from cocoop.errors import UserError

SCRATCH = ".download"  # inside the dataset's folder: partial downloads, and a record of each downloaded file
DRAWN = "drawn"


def record_path(folder: Path, file: Mapping[str, Any]) -> Path:
    """Where the record of a `file` entry is."""
    return folder / SCRATCH / f"{file['file']}.json"


def record_drawing(miniature: Mapping[str, Any], folder: Path) -> None:
    """Remembers which miniature a folder contains."""
    io.write_json(folder / SCRATCH / f"{DRAWN}.json", {"schema": 1, "kind": DRAWN, **_drawing(miniature)})


def refuse_other_files(spec: DatasetSpec, folder: Path) -> None:
    """UserError if the folder contains another miniature, or files with other checksums, than the YAML file asks for.

    Existing files are never replaced, so without this check they would be used as if they were the new ones. Files without a
    record, such as those that a user put there, pass.
    """
    if "miniature" in spec.settings:
        wanted = _drawing(spec.settings["miniature"])
        found = _read(folder / SCRATCH / f"{DRAWN}.json", DRAWN)
        if found and (there := {key: found[key] for key in wanted}) != wanted:
            raise _other(spec, folder, f"the miniature {there['name']!r} with seed {there['seed']}",
                         f"{wanted['name']!r} with seed {wanted['seed']}")  # fmt: skip
    for file in spec.settings.get("download", ()):
        found, wanted = _read(record_path(folder, file), "fetched"), file.get("sha256")
        if found and wanted not in (None, found["file_sha256"]):
            raise _other(spec, folder, f"{file['file']} with sha256 {found['file_sha256']}", f"sha256 {wanted}")


def _drawing(miniature: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": miniature["name"], "seed": miniature.get("seed", 0)}


def _read(path: Path, kind: str) -> dict[str, Any]:
    with suppress(UserError):
        return io.read_json(path, kind)
    return {}


def _other(spec: DatasetSpec, folder: Path, found: str, wanted: str) -> UserError:
    return UserError(
        f"dataset {spec.name!r}: {folder} contains {found}, but the YAML file now says {wanted}; move {folder} away, or give "
        "the dataset another `folder`."
    )
