"""Configuration files, merged like Snakemake does: the demo's, overridden by the files of --configfile."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.config.validation import validate
from cocoop.planning import misplaced
from cocoop.planning.plan import Plan

DEMO = Path("config/config.yaml")


def defaults() -> Path:
    """The demo's configuration, which other files override: in the working folder, else in the repository."""
    return DEMO if DEMO.exists() else io.REPOSITORY / DEMO


def load(paths: Sequence[Path] = ()) -> dict[str, Any]:
    """The merged content of the defaults and these files: mappings are merged key by key, other values are replaced."""
    merged: dict[str, Any] = {}
    for path in (defaults(), *paths):
        merged = _over(merged, io.read_yaml(path))
    return merged


def plan_of(paths: Sequence[Path] = ()) -> Plan:
    """The plan of the defaults and these files."""
    content, where = _read(paths)
    return Plan(content, where=where)


def plan_from(config: Mapping[str, Any], paths: Sequence[Path] = ()) -> Plan:
    """The plan of the defaults under what Snakemake has read: the files of --configfile (`paths`), and --config.

    Reads the files itself: Snakemake accepts repeated keys, and `configfile:` would run code in the demo's file (`__use_yte__`).
    """
    content, where = _read(paths)
    misplaced.check(content, where)
    validate(content, "config", where)  # `__use_yte__`, which Snakemake obeys and drops
    merged = _over(content, config)
    return Plan(merged, where=where if merged == content else f"{where} + --config")


def _read(paths: Sequence[Path]) -> tuple[dict[str, Any], str]:
    """The content of `load`, and the files' names for messages."""
    named = [_shown(path) for path in paths]
    return load(named), " + ".join(map(str, named or [DEMO]))


def _shown(path: Path) -> Path:
    """A path relative to the working folder if it is inside it, because Snakemake makes paths absolute."""
    path = Path(path)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
        merged[key] = _over(below[key], value) if both else value
    return merged
