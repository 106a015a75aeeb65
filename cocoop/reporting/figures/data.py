"""What figures are drawn from: an experiment's numbers with titles, in order, and the job that a file belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cocoop import io
from cocoop.errors import UserError
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import notes, statistics
from cocoop.reporting.records.statistics import AVERAGE

METRICS = {"base": "Base classes", "new": "New classes", "h": "H", "all": "All classes"}


@dataclass(frozen=True)
class Data:
    """Numbers of one experiment.

    summary: of `statistics.summarize`; values: of `statistics.per_seed`. labels: text of each series, in order; methods:
    the method of each series; titles: text of each target, in order, with the average (if there is one) first;
    datasets: text of each dataset trained on; notes: of `notes.of`.
    """

    experiment: Mapping[str, Any]
    summary: pd.DataFrame
    values: pd.DataFrame
    labels: dict[str, str]
    methods: dict[str, str]
    titles: dict[str, str]
    datasets: dict[str, str]
    notes: tuple[str, ...] = ()

    def first_of(self, method: str) -> str | None:
        """The first series of a method; None if the experiment has none."""
        return next((series for series, name in self.methods.items() if name == method), None)

    def metrics(self) -> list[str]:
        """The metrics there are, in the order in which they are shown."""
        return [metric for metric in METRICS if metric in set(self.summary["metric"])]


def gather(experiment: Mapping[str, Any], records: pd.DataFrame, said: Sequence[str] = ()) -> Data:
    """Selects and summarizes an experiment's records; said: what its jobs noted (`records.load_notes`)."""
    selected = experiments.select(experiment, records)
    values = statistics.per_seed(experiment, selected)
    summary = statistics.summarize(experiment, selected, values)
    method_of = {variant["name"]: variant["method"] for variant in experiment["variants"]}
    firsts = selected.drop_duplicates("series")
    there = set(summary["target"])
    titles = {name: title for name, title in experiments.dataset_titles(experiment).items() if name in there}
    targets = [name for name in titles if name not in set(summary["source"])]
    averaged = len(statistics.without_single_classes(targets, summary))
    part = "" if averaged == len(targets) else f" ({averaged} of {len(targets)})"
    average = {AVERAGE: f"Average{part}"} if AVERAGE in there else {}
    return Data(
        experiment=experiment,
        summary=summary,
        values=values,
        labels=dict(zip(firsts["series"], firsts["label"], strict=True)),
        methods={
            series: method_of[variant] for series, variant in zip(firsts["series"], firsts["variant"], strict=True)
        },
        titles={**average, **titles},
        datasets=experiments.named(experiment["train_datasets"]),
        notes=notes.of(experiment, selected, said),
    )


class Job(NamedTuple):
    """A training or an evaluation. settings: of the block of runs; target: None for a training."""

    stage: str
    settings: dict[str, Any]
    target: str | None


def job_of(path: Path) -> Job:
    """The job that wrote cost.json or history.csv into a folder, as the result beside it says, never the path."""
    learned, metrics = path.with_name("learned.safetensors"), path.with_name("metrics.json")
    if learned.exists():
        return Job("train", io.read_arrays(learned, "learned")[1]["run"], None)
    if metrics.exists():
        content = io.read_json(metrics, "metrics")
        return Job("evaluate", content["run"], content["records"][0]["target"])
    raise UserError(f"{path}: neither learned.safetensors nor metrics.json beside it; run its job again.")
