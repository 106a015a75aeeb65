"""Configuration files, merged like Snakemake does: the demo's and the working folder's, overridden by those of --configfile."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cocoop import io, places
from cocoop.config import merging
from cocoop.config.validation import validate
from cocoop.errors import UserError
from cocoop.planning import misplaced
from cocoop.planning.plan import BACKBONES, Plan

DEMO = Path("config/config.yaml")


def defaults() -> list[Path]:
    """The demo's configuration, which other files override, then that of the working folder, unless it is the same file."""
    return places.layers(str(DEMO))[::-1] or [DEMO]


def load(paths: Sequence[Path] = ()) -> dict[str, Any]:
    """The merged content of the defaults and these files: mappings are merged key by key, other values are replaced.

    A file that is not in the working folder may be a shipped one: config/paper.yaml.
    """
    merged: dict[str, Any] = {}
    for path in (*defaults(), *(places.found(path) or path for path in paths)):
        merged = _over(merged, io.read_yaml(path))
    return merged


def plan_of(paths: Sequence[Path] = ()) -> Plan:
    """The plan of the defaults and these files."""
    content, where = _read(paths)
    return Plan(content, where=where)


def plan_from(
    config: Mapping[str, Any], paths: Sequence[Path] = (), said: Mapping[str, Any] = MappingProxyType({})
) -> Plan:
    """The plan of the defaults under what Snakemake has read: the files of --configfile (`paths`), and --config.

    Reads the files itself: Snakemake accepts repeated keys, and `configfile:` would run code in the demo's file (`__use_yte__`).

    config: what Snakemake merged, and perhaps a Snakefile that includes ours has changed. said: the values of --config alone;
    one that equals a file's counts as well, if a later file replaced it (`backbone` by `backbones`).
    """
    content, where = _read(paths)
    if empty := [key for key, value in said.items() if value is None]:
        raise UserError(
            f"--config {empty[0]}=: no value; write `{empty[0]}: null` in a file and name it with --configfile."
        )
    misplaced.check(content, where)
    validate(content, "config", where)  # `__use_yte__`, which Snakemake obeys and drops
    merged = _over(content, {**said, **_beyond(config, paths)})
    return Plan(merged, where=where if merged == content else f"{where} + --config")


def _beyond(config: Mapping[str, Any], paths: Sequence[Path]) -> dict[str, Any]:
    """What differs from the files as Snakemake merges them, in which `backbone` and `backbones` may both be."""
    files: dict[str, Any] = {}
    for path in paths:
        files = merging.merged(files, io.read_yaml(path))
    return {key: value for key, value in config.items() if value != files.get(key)}


def _read(paths: Sequence[Path]) -> tuple[dict[str, Any], str]:
    """The content of `load`, and the files' names for messages."""
    named = [_shown(path) for path in paths]
    return load(named), " + ".join(map(str, named or [DEMO]))


def _shown(path: Path) -> Path:
    """A path relative to the working folder if it is inside it, because Snakemake makes paths absolute."""
    path = Path(path)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """One file over others. `backbone` and `backbones` state the same: either replaces both."""
    said = set(BACKBONES) & set(above)
    return merging.merged({key: value for key, value in below.items() if not said or key not in BACKBONES}, above)
