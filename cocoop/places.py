"""Where the files lie that are not Python: configurations, registries, rules and schemas."""

import os
from pathlib import Path

from cocoop.errors import UserError

PACKAGE = Path(__file__).resolve().parent
REPOSITORY = PACKAGE.parent  # the clone; of an installed package, the folder that Python imports it from
_INSIDE = PACKAGE / "shipped"  # exists in an installed package only (pyproject.toml)
SHIPPED = _INSIDE if _INSIDE.is_dir() else REPOSITORY
"""The folder with config/, workflow/ and slurm/."""


def layers(name: str) -> list[Path]:
    """The existing folders or files of this relative name, those that win first: the working folder's, then the shipped one.

    In the root of a clone, both are the same.
    """
    own, shipped = Path(name), SHIPPED / name
    both = own.exists() and shipped.exists() and not own.samefile(shipped)
    return [own, shipped] if both else [path for path in (own, shipped) if path.exists()][:1]


def found(name: str | Path) -> Path | None:
    """A file that a YAML file or the command line names, as a path relative to the working folder; None if there is none.

    Looks in the working folder, then among the shipped files, then beside the package `cocoop`.
    """
    for folder in (Path(), SHIPPED, REPOSITORY):
        if (folder / name).is_file():
            return Path(os.path.relpath(folder / name)) if folder != Path() else Path(name)
    return None


def expanded(path: str | Path) -> Path:
    """A path that may begin with `~`, the home folder, or with `~user`; a file or folder of exactly this name comes first.

    Raises a UserError if there is neither.
    """
    if os.path.lexists(path):
        return Path(path)
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        home = Path(path).parts[0]
        raise UserError(
            f"{path}: no such file or folder, and no home folder {home!r} either; to make one of this name, write ./{path}."
        ) from error
