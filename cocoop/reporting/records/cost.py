"""What the jobs of an experiment cost: seconds and memory, from the cost.json of every training and evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cocoop import io
from cocoop.config.draw import Draw, level_of
from cocoop.errors import UserError
from cocoop.run import parsed_as

MEMORY = ("peak_mb", "peak_gpu_mb")
ENCODER = {"image_parameters": "parameters", "image_gflops": "gflops"}
COLUMNS = ["stage", "dataset", "variant", "shots", "draw", "target", "seconds", *MEMORY, "device"]
ADDED = ["backbone", *ENCODER]
PER_VARIANT = ["backbone", "variant", "shots", "draw", "train_seconds", "evaluate_seconds", *MEMORY, "device"]


class Job(NamedTuple):
    """A training or an evaluation. settings: those of its block of runs; target: None for a training."""

    stage: str
    settings: dict[str, Any]
    target: str | None


def job_of(path: Path) -> Job:
    """The job that wrote a cost.json or history.csv, as stated by the result in the same folder (never by the path)."""
    learned, metrics = path.with_name("learned.safetensors"), path.with_name("metrics.json")
    if learned.exists():
        return Job("train", io.read_arrays(learned, "learned")[1]["run"], None)
    if metrics.exists():
        content = io.read_json(metrics, "metrics")
        return Job("evaluate", content["run"], content["records"][0]["target"])
    raise UserError(f"{path}: neither learned.safetensors nor metrics.json is in its folder; run its job again.")


def read(paths: Sequence[Path]) -> pd.DataFrame:
    """One row per job, with columns `COLUMNS` and `ADDED`.

    seconds: per run, that is, the job's seconds divided by its number of seeds; peak_mb and peak_gpu_mb: peak memory of
    the process and of the GPU in MB, missing where unknown; device: the processor or GPU; image_parameters and
    image_gflops: the size of the backbone's image encoder and its work for an image, stated by evaluations.
    """
    rows = []
    for path in paths:
        stage, settings, target = job_of(path)
        cost = io.read_json(path, "cost")
        row = {"backbone": settings["backbone"]["name"], "stage": stage, "target": target}
        row |= {"seconds": cost["seconds"] / len(settings["seeds"])}
        row |= {name: settings[name] for name in ("dataset", "variant", "shots")}
        row["draw"] = level_of(parsed_as(Draw, settings.get("draw", {}), str(path)).text)
        row |= {name: cost[name] for name in MEMORY} | {"device": cost["provenance"]["device"]}
        encoder = cost.get("image_encoder") or {}
        rows.append(row | {name: encoder.get(fact) for name, fact in ENCODER.items()})
    return pd.DataFrame(rows, columns=[*COLUMNS, *ADDED])


def per_variant(cost: pd.DataFrame) -> pd.DataFrame:
    """One row per backbone, variant, number of shots, and label noise and imbalance (`draw`), with columns `PER_VARIANT`.

    Seconds are means over the variant's runs (`train_seconds` is missing without training) and over its evaluations;
    memory is the highest of its jobs; device lists all devices.
    """
    rows = []
    cost = cost if "backbone" in cost else cost.assign(backbone="")
    for key, jobs in cost.groupby(["backbone", "variant", "shots", "draw"], sort=False):
        seconds = jobs.groupby("stage")["seconds"].mean().reindex(["train", "evaluate"])
        memory = [pd.to_numeric(jobs[name]).max() for name in MEMORY]
        rows.append((*key, *seconds, *memory, ", ".join(sorted(set(jobs["device"])))))
    numbers = [name for name in PER_VARIANT if name.endswith(("seconds", "mb"))]
    return pd.DataFrame(rows, columns=PER_VARIANT).astype(dict.fromkeys(numbers, "float64"))


def of_backbone(frame: pd.DataFrame, experiment: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of the experiment's backbone (`experiment.of_each`); all rows if the frame has no such column."""
    return frame[frame["backbone"] == experiment["backbone"]["name"]] if "backbone" in frame else frame
