"""What figures are drawn from: an experiment's numbers with titles, in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from cocoop.reporting.figures import looks
from cocoop.reporting.figures.looks import Look
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import notes, statistics
from cocoop.reporting.records.statistics import AVERAGE

METRICS = {"base": "Base classes", "new": "New classes", "h": "H", "all": "All classes"}
MOST_IN_LEGEND = 10


@dataclass(frozen=True)
class Data:
    """The numbers of one experiment.

    Attributes:
        summary: result of `statistics.summarize`.
        values: result of `statistics.per_seed`.
        labels: text of each series, in order.
        methods: method of each series.
        looks: look of each series.
        titles: text of each target, in order; the average, if there is one, comes first.
        datasets: text of each dataset trained on.
        notes: result of `notes.of`.
    """

    experiment: Mapping[str, Any]
    summary: pd.DataFrame
    values: pd.DataFrame
    labels: dict[str, str]
    methods: dict[str, str]
    looks: dict[str, Look]
    titles: dict[str, str]
    datasets: dict[str, str]
    notes: tuple[str, ...] = ()

    def first_of(self, method: str) -> str | None:
        """The first series of a method; None if the experiment has none."""
        return next((series for series, name in self.methods.items() if name == method), None)

    def metrics(self) -> list[str]:
        """The metrics of the experiment, in the order in which they are shown."""
        return [metric for metric in METRICS if metric in set(self.summary["metric"])]

    @property
    def many(self) -> bool:
        """Whether there are too many series for a legend alone, so that they are also labelled directly."""
        return len(self.labels) > MOST_IN_LEGEND


class Part(NamedTuple):
    """What the figures of one backbone are drawn from.

    Its numbers, costs (`records.cost.read`), histories (`training.read`) and, if a measure needs it, what is kept of the
    probabilities (`confidence.read`).
    """

    data: Data
    measured: pd.DataFrame
    histories: pd.DataFrame
    kept: pd.DataFrame


def gather(experiment: Mapping[str, Any], records: pd.DataFrame, said: Sequence[str] = ()) -> Data:
    """Selects and summarizes an experiment's records. said: the notes of its jobs (`records.load_notes`)."""
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
        looks=looks.of_series(experiment, zip(firsts["series"].astype(str), firsts["variant"], strict=True)),
        titles={**average, **titles},
        datasets=experiments.named(experiment["train_datasets"]),
        notes=notes.of(experiment, selected, said),
    )
