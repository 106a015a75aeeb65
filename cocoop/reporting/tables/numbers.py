"""The main table of an experiment, and the table of its spread over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cocoop.reporting.records.text import per_cent
from cocoop.reporting.tables import notes
from cocoop.reporting.tables.grids import Grid, Line
from cocoop.reporting.tables.model import Cell, Table

TIDY = [
    "source", "target", "label", "variant", "shots", "metric", "n", "expected", "mean", "std", "std_ddof0", "interval_low",
    "interval_high",
]  # fmt: skip


class Numbers:
    """The numbers of a summary by their place in a grid."""

    def __init__(self, summary: pd.DataFrame, grid: Grid) -> None:
        self._keys = sorted({**grid.rows[0].key, **grid.columns[0].key})
        self._numbers = {tuple(row[key] for key in self._keys): row for row in summary.to_dict("records")}

    def at(self, row: Line, column: Line) -> dict[str, Any] | None:
        """The summary's row at this place; None where the experiment asks for none."""
        key = row.key | column.key
        return self._numbers.get(tuple(key[name] for name in self._keys))


def table(experiment: Mapping[str, Any], summary: pd.DataFrame, grid: Grid, gaps: Sequence[str]) -> Table:
    """Mean ± standard deviation in the paper's arrangement, the best of those that compete in bold."""
    numbers = Numbers(summary, grid)
    best = _best(numbers, grid)
    rows, wide = [], []
    for row in grid.rows:
        found = [numbers.at(row, column) for column in grid.columns]
        cells = [Cell(_mean_and_std(number), _place(number) in best) for number in found]
        rows.append((*map(Cell, row.labels), *cells))
        means = {
            column.labels[0]: number and number["mean"] for column, number in zip(grid.columns, found, strict=True)
        }
        wide.append(dict(zip(grid.names, row.labels, strict=True)) | means)
    header = (*grid.names, *(column.labels[0] for column in grid.columns))
    footnotes = (*notes.meaning(summary), *_counting(grid), *notes.missing(gaps))
    return Table(
        name="table",
        title=experiment["title"],
        caption=experiment["caption"],
        tidy=summary,
        wide=pd.DataFrame(wide),
        header=header,
        rows=tuple(rows),
        labels=grid.texts,
        notes=footnotes,
    )


def spread(experiment: Mapping[str, Any], summary: pd.DataFrame, grid: Grid) -> Table:
    """Each number with its standard deviations, 95 % interval and number of runs."""
    numbers = Numbers(summary, grid)
    several = len({column.labels for column in grid.columns}) > 1
    rows = []
    for row in grid.rows:
        for column in grid.columns:
            number = numbers.at(row, column)
            if number is not None:
                labels = row.labels[: grid.texts] + column.labels * several
                rows.append(tuple(map(Cell, (*labels, *_spread_texts(number)))))
    names = grid.names[: grid.texts] + (grid.across,) * several
    header = (*names, "Mean", "Std (ddof 1)", "Std (ddof 0)", "95 % interval", "Runs")
    footnotes = (
        "Per cent; standard deviations over seeds: ddof 1, and ddof 0 as the reference's scripts print. The interval of "
        "the mean is Student's t. H per seed for its spread; averages over datasets per seed for theirs. Runs: how many are "
        "there, of how many; a mean is blank unless all are.",
    )
    return Table(
        name="spread",
        title=f"{experiment['title']}: spread over seeds",
        caption=experiment["caption"],
        tidy=summary[TIDY],
        wide=summary[TIDY],
        header=header,
        rows=tuple(rows),
        labels=len(names),
        notes=footnotes,
    )


def _spread_texts(number: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = per_cent(number["interval_low"]), per_cent(number["interval_high"])
    interval = per_cent(None) if pd.isna(number["interval_low"]) else f"{low} to {high}"
    runs = str(number["n"]) if number["n"] == number["expected"] else f"{number['n']} of {number['expected']}"
    return per_cent(number["mean"]), per_cent(number["std"]), per_cent(number["std_ddof0"]), interval, runs


def _mean_and_std(number: Mapping[str, Any] | None) -> str:
    if number is None:
        return ""
    if pd.isna(number["mean"]) or pd.isna(number["std"]):
        return per_cent(number["mean"])
    return f"{per_cent(number['mean'])} ± {per_cent(number['std'])}"


def _best(numbers: Numbers, grid: Grid) -> set[tuple]:
    """Places of the highest number, as printed, of each group of two or more; none in a group with a gap."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for place, row in enumerate(grid.rows):
        for column in grid.columns:
            number = numbers.at(row, column)
            if number is not None:
                group = (place,) if grid.compete_along_row else (row.labels[0], column.labels)
                groups.setdefault(group, []).append(number)
    best = set()
    for group in groups.values():
        if len(group) > 1 and not any(pd.isna(number["mean"]) for number in group):
            highest = max(round(number["mean"], 4) for number in group)
            best |= {_place(number) for number in group if round(number["mean"], 4) == highest}
    return best


def _place(number: Mapping[str, Any] | None) -> tuple | None:
    return number and tuple(number[key] for key in ("source", "target", "series", "shots", "metric"))


def _counting(grid: Grid) -> tuple[str, ...]:
    if "Parameters" not in grid.names:
        return ()
    return (
        "Parameters: counted from the trained tensors; without biases: the same without bias vectors, as the paper counts.",
    )
