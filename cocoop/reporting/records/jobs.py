"""Which run a file in a job's folder belongs to: said by the result beside it, never by its path."""

from pathlib import Path
from typing import Any, NamedTuple

from cocoop import io
from cocoop.errors import UserError
from cocoop.reporting.records.arrays import read_arrays


class Job(NamedTuple):
    """A training or an evaluation. settings: of the block of runs; target: None for a training."""

    stage: str
    settings: dict[str, Any]
    target: str | None


def job_of(path: Path) -> Job:
    """The job that wrote cost.json or history.csv into a folder."""
    learned, metrics = path.with_name("learned.safetensors"), path.with_name("metrics.json")
    if learned.exists():
        return Job("train", read_arrays(learned, "learned")[1]["run"], None)
    if metrics.exists():
        content = io.read_json(metrics, "metrics")
        return Job("evaluate", content["run"], content["records"][0]["target"])
    raise UserError(f"{path}: neither learned.safetensors nor metrics.json beside it; run its job again.")
