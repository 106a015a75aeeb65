"""Configuration files, merged like Snakemake does: the demo's, overridden by the files of --configfile."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.config.validation import validate
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


def plan_of(paths: Sequence[Path] = (), over: Mapping[str, Any] | None = None) -> Plan:
    """The plan of the defaults, these files, and the overrides of `snakemake --config KEY=VALUE`."""
    named = [_shown(path) for path in paths]
    where = " + ".join([*map(str, named or [DEMO]), *(["--config"] if over else [])])
    return Plan(_over(load(named), over or {}), where=where)


def plan_from(config: Mapping[str, Any], paths: Sequence[Path] = ()) -> Plan:
    """The plan of a configuration that Snakemake has merged; paths: the files of --configfile.

    Reads the files again, because Snakemake accepts repeated keys and keeps the last value.
    """
    named = [_shown(path) for path in paths]
    read, where = load(named), " + ".join(map(str, named or [DEMO]))
    validate(read, "config", where)  # `__use_yte__`, which Snakemake obeys and drops
    return Plan(config, where=where if config == read else f"{where} + --config")


def merged(over: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults under what Snakemake has read from --configfile and --config.

    Its own `configfile:` would run code in the demo's file (`__use_yte__`).
    """
    return _over(io.read_yaml(defaults()), over)


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
