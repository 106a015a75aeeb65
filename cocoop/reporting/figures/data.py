"""An experiment's numbers in the form that figures need: in per cent, with titles, in order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import statistics
from cocoop.reporting.records.statistics import AVERAGE

METRICS = {"base": "Base classes", "new": "New classes", "h": "H", "all": "All classes"}


@dataclass(frozen=True)
class Data:
    """Numbers of one experiment.

    summary: of `statistics.summarize`; values: of `statistics.per_seed`. labels: text of each series, in order; methods:
    the method of each series; titles: text of each target, in order, with the average (if there is one) first;
    datasets: text of each dataset trained on.
    """

    experiment: Mapping[str, Any]
    summary: pd.DataFrame
    values: pd.DataFrame
    labels: dict[str, str]
    methods: dict[str, str]
    titles: dict[str, str]
    datasets: dict[str, str]

    def first_of(self, method: str) -> str | None:
        """The first series of a method; None if the experiment has none."""
        return next((series for series, name in self.methods.items() if name == method), None)

    def metrics(self) -> list[str]:
        """The metrics there are, in the order in which they are shown."""
        return [metric for metric in METRICS if metric in set(self.summary["metric"])]


def gather(experiment: Mapping[str, Any], records: pd.DataFrame) -> Data:
    """Selects and summarizes an experiment's records."""
    selected = experiments.select(experiment, records)
    summary = statistics.summarize(experiment, selected)
    method_of = {variant["name"]: variant["method"] for variant in experiment["variants"]}
    firsts = selected.drop_duplicates("series")
    there = set(summary["target"])
    average = {AVERAGE: "Average"} if AVERAGE in there else {}
    titles = {name: title for name, title in experiments.dataset_titles(experiment).items() if name in there}
    return Data(
        experiment=experiment,
        summary=summary,
        values=statistics.per_seed(experiment, selected),
        labels=dict(zip(firsts["series"], firsts["label"], strict=True)),
        methods={
            series: method_of[variant] for series, variant in zip(firsts["series"], firsts["variant"], strict=True)
        },
        titles={**average, **titles},
        datasets=experiments.named(experiment["train_datasets"]),
    )
