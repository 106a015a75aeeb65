"""`dataset new --config`: puts a dataset into one's own configuration, so that one table holds all of one's datasets."""

import re
from pathlib import Path

from cocoop import io, places
from cocoop.errors import UserError
from cocoop.planning.files import plan_of

EXAMPLE = "config/examples/own.yaml"
PLACEHOLDER = "digits"
LIST = re.compile(r"(\btrain_datasets: *\[)([^\]\n]*)(\])")


def check(path: Path) -> None:
    """Raises a UserError for a configuration that exists but is not YAML, or has no list that a dataset can be added to."""
    if path.exists() and io.read_yaml(path) is not None and not LIST.search(path.read_text(encoding="utf-8")):
        raise UserError(
            f"{path}: has no line `train_datasets: [...]` for the dataset; write one below an experiment, or leave out --config."
        )


def enlist(path: Path, name: str) -> str:
    """Adds a dataset to each list `train_datasets: [...]` of a configuration, or writes a new one; returns what was done.

    Raises a UserError, and leaves the file as it was, if the configuration is not valid with the dataset.
    """
    if not path.exists():
        text = (places.SHIPPED / EXAMPLE).read_text(encoding="utf-8")
        io.write_text(path, text.replace(f"[{PLACEHOLDER}]", f"[{name}]").replace(EXAMPLE, str(path)))
        return f"wrote {path}, which trains and tests on all classes of {name}"
    before = path.read_text(encoding="utf-8")
    after = LIST.sub(lambda found: _with(found, name), before)
    if after == before:
        return f"{path} already contains {name}"
    io.write_text(path, after)
    try:
        plan_of([path])
    except UserError:
        io.write_text(path, before)
        raise
    return f"added {name} to the train_datasets of {path}"


def _with(found: re.Match[str], name: str) -> str:
    names = [part.strip() for part in found[2].split(",") if part.strip()]
    return found[1] + ", ".join(names if name in names else [*names, name]) + found[3]
