"""The main table of an experiment, and the table of its spread over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cocoop.reporting.records.text import interval, per_cent
from cocoop.reporting.tables import best, detecting, distance, footnotes
from cocoop.reporting.tables.grids import Grid, Numbers, mean_text
from cocoop.reporting.tables.rendering import Cell, Table

TIDY = [
    "source", "target", "label", "variant", "shots", "metric", "n", "expected", "mean", "std", "std_ddof0", "interval_low",
    "interval_high", "one_class",
]  # fmt: skip
SPREAD = (
    "In per cent. Standard deviations over seeds: ddof 1, and ddof 0 as the authors' scripts print. The interval of the mean is "
    "Student's t, cut to the range of an accuracy, 0 to 100; with few seeds it is wide, and it is not defined for one seed or "
    "for seeds that are all equal. The spread of H is that of each seed's "
    "H, and the spread of an average is that of each seed's average. Runs: completed runs, and of how many if some are "
    "missing; a mean is blank unless all are complete."
)


def table(
    experiment: Mapping[str, Any],
    summary: pd.DataFrame,
    per_seed: pd.DataFrame,
    grid: Grid,
    caption: str,
    common: Sequence[str],
) -> Table:
    """Mean ± standard deviation in the paper's layout, with a clear best in bold.

    per_seed: result of `statistics.per_seed`; common: footnotes of every table of the experiment.
    """
    numbers = Numbers(summary, grid)
    leaders = best.leaders(numbers, per_seed, grid)
    rows, wide = [], []
    for row in grid.rows:
        found = [numbers.at(row, column) for column in grid.columns]
        cells = [
            Cell(_mean_std_distance(number), number is not None and best.place(number) in leaders) for number in found
        ]
        rows.append((*map(Cell, row.labels), *cells))
        means = {}
        for column, number in zip(grid.columns, found, strict=True):
            means[column.labels[0]] = number and number["mean"]
            if "distance" in summary:
                means[f"{column.labels[0]} distance"] = number and number["distance"]
        wide.append(dict(zip(grid.names, row.labels, strict=True)) | means)
    header = (*grid.names, *(column.labels[0] for column in grid.columns))
    below = (
        *footnotes.meaning(experiment, summary),
        *distance.footnotes(experiment),
        *best.footnotes(numbers, grid),
        *detecting.footnotes(per_seed),
        *_counting(grid),
        *common,
    )
    return Table(
        name="table",
        title=experiment["title"],
        caption=caption,
        tidy=summary,
        wide=pd.DataFrame(wide),
        header=header,
        rows=tuple(rows),
        labels=grid.texts,
        notes=below,
    )


def spread(
    experiment: Mapping[str, Any], summary: pd.DataFrame, grid: Grid, caption: str, common: Sequence[str]
) -> Table:
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
    below = (SPREAD, *distance.footnotes(experiment), *common)
    tidy = summary[[*TIDY, *(name for name in distance.ADDED if name in summary)]]
    return Table(
        name="spread",
        title=f"{experiment['title']}: spread over seeds",
        caption=caption,
        tidy=tidy,
        wide=tidy,
        header=header,
        rows=tuple(rows),
        labels=len(names),
        notes=below,
    )


def _spread_texts(number: Mapping[str, Any]) -> tuple[str, ...]:
    runs = str(number["n"]) if number["n"] == number["expected"] else f"{number['n']} of {number['expected']}"
    mean, ends = mean_text(number) + distance.text(number), interval(number["interval_low"], number["interval_high"])
    return mean, per_cent(number["std"]), per_cent(number["std_ddof0"]), ends, runs


def _mean_std_distance(number: Mapping[str, Any] | None) -> str:
    if number is None:
        return ""
    if pd.isna(number["mean"]) or pd.isna(number["std"]):
        return mean_text(number) + distance.text(number)
    return f"{per_cent(number['mean'])} ± {per_cent(number['std'])}{distance.text(number)}"


def _counting(grid: Grid) -> tuple[str, ...]:
    if "Parameters" not in grid.names:
        return ()
    return ("Parameters: counted from the trained tensors; without biases: without bias vectors, as the paper counts.",)
