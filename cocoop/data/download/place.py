"""The folder of a dataset: which files exist, and links to a user's copy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cocoop.config.specs import DatasetSpec
from cocoop.errors import UserError, listed
from cocoop.places import expanded


def gives(file: Mapping[str, Any]) -> Sequence[str]:
    """The paths inside the dataset's folder that a `file` entry provides."""
    return file.get("gives", [file["file"]])


def is_there(folder: Path, file: Mapping[str, Any]) -> bool:
    """Whether the dataset's folder contains everything that a `file` entry provides."""
    return all((folder / place).exists() for place in gives(file))


def read_places(spec: DatasetSpec) -> list[str]:
    """The files and folders that the dataset's reader reads first."""
    reader = spec.settings["reader"]
    return [reader[key] for key in ("file", "images", "train", "val", "test") if isinstance(reader.get(key), str)]


def missing(spec: DatasetSpec, folder: Path) -> list[str]:
    """Missing files that the dataset needs, without a split file that can be recreated."""
    files = spec.settings.get("download")
    if files is not None:
        needed = [file for file in files if not file.get("optional") and not file.get("fallback")]
        return [place for file in needed for place in gives(file) if not (folder / place).exists()]
    return [place for place in read_places(spec) or ["."] if not (folder / place).exists()]


def manual(spec: DatasetSpec) -> str:
    """The dataset's instructions for a manual download, as the end of an error message."""
    text = spec.settings.get("manual")
    return f" {text.strip()}" if text else ""


def link(spec: DatasetSpec, folder: Path) -> None:
    """Creates the symbolic links of `link`; the user's copy is neither copied nor changed."""
    links = spec.settings["link"]
    pairs = {".": links} if isinstance(links, str) else links
    for place, own in pairs.items():
        target = _copy_of(spec, own)
        if not target.exists():
            raise UserError(f"dataset {spec.name!r}: link: {target} does not exist; give the path of your copy.")
        _link(spec, folder / place, target)


def _copy_of(spec: DatasetSpec, own: str) -> Path:
    try:
        return expanded(own)
    except UserError as error:
        raise UserError(f"dataset {spec.name!r}: link: {error}") from error


def _link(spec: DatasetSpec, path: Path, target: Path) -> None:
    if path.is_symlink() and not path.exists():
        path.unlink()  # the copy it pointed to has moved
    if path.exists() or path.is_symlink():
        if path.resolve() == target.resolve():
            return
        raise UserError(
            f"dataset {spec.name!r}: {path} already exists and is not {target}; move it away, or remove `link`."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target.resolve(), target_is_directory=True)


def refuse_to_touch(spec: DatasetSpec, folder: Path, lacking: Sequence[str]) -> UserError:
    """The error for an incomplete linked copy."""
    return UserError(
        f"dataset {spec.name!r}: your copy {folder.resolve()}, linked as {folder}, lacks {listed(lacking)}; nothing is"
        " downloaded into your copy: complete it, or remove the link to download the dataset."
    )
