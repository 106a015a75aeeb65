"""Where a dataset lies: what of it is there, and links to a user's own copy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cocoop.config.specs import DatasetSpec
from cocoop.errors import UserError, listed


def gives(file: Mapping[str, Any]) -> Sequence[str]:
    """The paths inside the dataset's folder that are there once a `file` entry is in place."""
    return file.get("gives", [file["file"]])


def is_there(folder: Path, file: Mapping[str, Any]) -> bool:
    """Whether all that a `file` entry gives is in the dataset's folder."""
    return all((folder / place).exists() for place in gives(file))


def read_places(spec: DatasetSpec) -> list[str]:
    """The files and folders that the dataset's reader starts from."""
    reader = spec.settings["reader"]
    return [reader[key] for key in ("file", "images", "train", "val", "test") if isinstance(reader.get(key), str)]


def missing(spec: DatasetSpec, folder: Path) -> list[str]:
    """What a usable dataset needs and `folder` lacks; a split file that can be built anew is not among it."""
    files = spec.settings.get("download")
    if files is not None:
        needed = [file for file in files if not file.get("optional") and not file.get("fallback")]
        return [place for file in needed for place in gives(file) if not (folder / place).exists()]
    return [place for place in read_places(spec) or ["."] if not (folder / place).exists()]


def manual(spec: DatasetSpec) -> str:
    """What the dataset's YAML says on placing it by hand, to end an error message with."""
    text = spec.settings.get("manual")
    return f" {text.strip()}" if text else ""


def link(spec: DatasetSpec, folder: Path) -> None:
    """Makes the symbolic links that `link` asks for; the copy they lead to is neither copied nor changed."""
    links = spec.settings["link"]
    pairs = {".": links} if isinstance(links, str) else links
    for place, own in pairs.items():
        target = Path(own).expanduser()
        if not target.exists():
            raise UserError(f"dataset {spec.name!r}: link: {target} does not exist; give the path of your copy.")
        _link(spec, folder / place, target)


def _link(spec: DatasetSpec, path: Path, target: Path) -> None:
    if path.is_symlink() and not path.exists():
        path.unlink()  # it led to a copy that has moved
    if path.exists() or path.is_symlink():
        if path.resolve() == target.resolve():
            return
        raise UserError(
            f"dataset {spec.name!r}: {path} is there already and is not {target}; move it away, or drop `link`."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target.resolve(), target_is_directory=True)


def refuse_to_touch(spec: DatasetSpec, folder: Path, lacking: Sequence[str]) -> UserError:
    """The error for a linked copy that is not whole."""
    return UserError(
        f"dataset {spec.name!r}: your copy {folder.resolve()}, linked as {folder}, lacks {listed(lacking)}; it is yours, so"
        " nothing is downloaded into it: complete it, or remove the link to have the dataset downloaded."
    )
