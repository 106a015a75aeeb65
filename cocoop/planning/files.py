"""Configuration files as Snakemake takes them: the demo, or exactly the files named, the later laid over the earlier."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.planning.plan import Plan

DEMO = Path("config/config.yaml")


def load(paths: Sequence[Path] = ()) -> dict[str, Any]:
    """The merged content: mappings are merged key by key, anything else is replaced, as `snakemake --configfile` does."""
    merged: dict[str, Any] = {}
    for path in paths or (DEMO,):
        merged = _over(merged, io.read_yaml(path))
    return merged


def plan_of(paths: Sequence[Path] = (), over: Mapping[str, Any] | None = None) -> Plan:
    """The plan of the merged files.

    over: what `snakemake --config KEY=VALUE` lays over them.
    """
    paths = [_shown(path) for path in paths or (DEMO,)]
    where = " + ".join([*map(str, paths), *(["--config"] if over else [])])
    return Plan(_over(load(paths), over or {}), where=where)


def _shown(path: Path) -> Path:
    """Snakemake makes paths absolute; messages name them as the user does."""
    path = Path(path)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
        merged[key] = _over(below[key], value) if both else value
    return merged
