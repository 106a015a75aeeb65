"""The rows and columns of each kind of table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from cocoop.config.draw import shots_text
from cocoop.reporting.records.experiment import dataset_titles
from cocoop.reporting.records.notes import ONE_CLASS
from cocoop.reporting.records.statistics import AVERAGE, TRANSFER_KINDS, without_single_classes
from cocoop.reporting.records.text import GAP, count, per_cent

METRICS = {"base": "Base", "new": "New", "h": "H", "all": "All"}


class Line(NamedTuple):
    """A row or column: its labels, and the part of a number's key that it determines."""

    labels: tuple[str, ...]
    key: dict[str, Any]


@dataclass(frozen=True)
class Grid:
    """The layout of a table. The key of a number at (row, column) is the union of the keys of both.

    Attributes:
        names: headings of the labels of a row.
        across: what the columns are.
        counts: how many of the last labels are numbers.
        compete_along_row: whether numbers in a row are compared for the best, instead of those in a block's column.
    """

    names: tuple[str, ...]
    rows: list[Line]
    across: str
    columns: list[Line]
    counts: int = 0
    compete_along_row: bool = False

    @property
    def texts(self) -> int:
        """Number of a row's labels that are words."""
        return len(self.names) - self.counts


class Numbers:
    """Looks up the numbers of a summary by their place in a grid."""

    def __init__(self, summary: pd.DataFrame, grid: Grid) -> None:
        self._keys = sorted({**grid.rows[0].key, **grid.columns[0].key})
        self._numbers = {tuple(row[key] for key in self._keys): row for row in summary.to_dict("records")}

    def at(self, row: Line, column: Line) -> dict[str, Any] | None:
        """The summary's row at this place; None if the experiment has no such number."""
        key = row.key | column.key
        return self._numbers.get(tuple(key[name] for name in self._keys))


def mean_text(number: Mapping[str, Any]) -> str:
    """A mean in per cent; a dash with a mark for a group with a single class."""
    return GAP + ONE_CLASS if number["one_class"] else per_cent(number["mean"])


def grid(experiment: Mapping[str, Any], summary: pd.DataFrame) -> Grid:
    """The layout of an experiment's kind of table."""
    kind = experiment["table"]
    if kind in TRANSFER_KINDS:
        return _targets(experiment, summary)
    if kind == "curves":
        return _shots(experiment, summary)
    return _blocks(experiment, summary, with_parameters=kind == "parameter_matched" and "trained" in summary)


def _blocks(experiment: Mapping[str, Any], summary: pd.DataFrame, with_parameters: bool) -> Grid:
    """As the paper's Table 1: a block per dataset (the average first), a row per variant, columns base, new and H."""
    rows = []
    for target, title in targets_in_order(experiment, summary, average_first=True).items():
        for series, part in _series(summary[summary["target"] == target]):
            first = part.iloc[0]
            parameters = (count(first["trained"]), count(first["without_biases"])) if with_parameters else ()
            rows.append(Line((title, first["label"], *parameters), {"source": "", "target": target, "series": series}))
    names = ("Dataset", "Method", *(("Parameters", "Without biases") if with_parameters else ()))
    columns = [Line((METRICS[metric],), {"metric": metric}) for metric in _metrics(summary)]
    return Grid(names, rows, "Classes", columns, counts=2 * with_parameters)


def _targets(experiment: Mapping[str, Any], summary: pd.DataFrame) -> Grid:
    """The paper's Tables 2 and 3, transposed: a row per target, a column per variant."""
    several_sources, several_metrics = summary["source"].nunique() > 1, summary["metric"].nunique() > 1
    titles = dataset_titles(experiment)
    rows = []
    for source in summary["source"].unique():
        of_source = summary[summary["source"] == source]
        ordered = targets_in_order(experiment, of_source, average_first=False)
        for target in sorted(ordered, key=lambda name: name != source):
            for metric in _metrics(of_source[of_source["target"] == target]):
                title = ordered[target] + (" (source)" if target == source else "")
                labels = [titles.get(source, source)] * several_sources + [title] + [METRICS[metric]] * several_metrics
                rows.append(Line(tuple(labels), {"source": source, "target": target, "metric": metric}))
    names = ("Source",) * several_sources + ("Target",) + ("Classes",) * several_metrics
    columns = [Line((part["label"].iloc[0],), {"series": series}) for series, part in _series(summary)]
    return Grid(names, rows, "Method", columns, compete_along_row=True)


def _shots(experiment: Mapping[str, Any], summary: pd.DataFrame) -> Grid:
    """A block per dataset, a row per variant, a column per number of shots (0: not trained)."""
    several_metrics = summary["metric"].nunique() > 1
    rows = []
    for target, title in targets_in_order(experiment, summary, average_first=True).items():
        of_target = summary[summary["target"] == target]
        for metric in _metrics(of_target):
            for series, part in _series(of_target[of_target["metric"] == metric]):
                labels = (f"{title}, {METRICS[metric]}" if several_metrics else title, part["label"].iloc[0])
                rows.append(Line(labels, {"source": "", "target": target, "series": series, "metric": metric}))
    shots = sorted(map(int, summary["shots"].unique()))
    columns = [Line((f"{shots_text(number)} shot{'s' * (number != 1)}",), {"shots": number}) for number in shots]
    return Grid(("Dataset", "Method"), rows, "Shots", columns)


def targets_in_order(experiment: Mapping[str, Any], summary: pd.DataFrame, average_first: bool) -> dict[str, str]:
    """The titles of a summary's targets by name, with the average, if there is one, first or last."""
    there = set(summary["target"])
    titles = {name: title for name, title in dataset_titles(experiment).items() if name in there}
    titles |= {name: name for name in summary["target"].unique() if name not in titles and name != AVERAGE}
    if AVERAGE not in there:
        return titles
    targets = [name for name in titles if name not in set(summary["source"])]
    averaged = len(without_single_classes(targets, summary))
    number = str(averaged) if averaged == len(targets) else f"{averaged} of {len(targets)}"
    average = {AVERAGE: f"Average over {number} {'targets' if (summary['source'] != '').all() else 'datasets'}"}
    return {**average, **titles} if average_first else {**titles, **average}


def _series(summary: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return list(summary.groupby("series", observed=True, sort=True))


def _metrics(summary: pd.DataFrame) -> list[str]:
    return [metric for metric in METRICS if metric in set(summary["metric"])]
