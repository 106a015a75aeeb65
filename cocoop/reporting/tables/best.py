"""The numbers shown in bold: the highest of a group, if it leads by more than the spread over seeds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from cocoop import metrics
from cocoop.reporting.records.statistics import CELL, RUN
from cocoop.reporting.tables.grids import Grid, Numbers

KEY = [*CELL, "metric"]
MEANING = (
    "Bold, or starred in plain text: higher than every number that it is compared with by more than one standard "
    "deviation, over seeds, of their difference (between methods without training: by any difference)."
)
ONE_SEED = "The spread of a method trained with one seed is unknown, so neither its number nor any number compared with it is bold."


def place(number: Mapping[str, Any]) -> tuple:
    """The key that identifies a number of a summary."""
    return tuple(number[key] for key in KEY)


def leaders(numbers: Numbers, per_seed: pd.DataFrame, grid: Grid) -> set[tuple]:
    """The places of the numbers in bold; there are none in a group with a gap.

    per_seed: result of `statistics.per_seed`. Two numbers are paired by class half and seed; the number of a method without
    training is paired with every seed of the other.
    """
    values: dict[tuple, dict[tuple[int, int], float]] = {}
    for key, run, value in zip(
        zip(*(per_seed[name] for name in KEY), strict=True),
        zip(*(per_seed[name] for name in RUN), strict=True),
        per_seed["value"],
        strict=True,
    ):
        values.setdefault(key, {})[run] = value
    found = set()
    for group in _groups(numbers, grid):
        if any(pd.isna(number["mean"]) for number in group):
            continue
        highest = max(group, key=lambda number: number["mean"])
        others = [number for number in group if number is not highest]
        if others and all(_leads(highest, other, values) for other in others):
            found.add(place(highest))
    return found


def footnotes(numbers: Numbers, grid: Grid) -> tuple[str, ...]:
    """The meaning of bold, if any numbers are compared."""
    compared = [number for group in _groups(numbers, grid) if len(group) > 1 for number in group]
    if not compared:
        return ()
    return (MEANING, *([ONE_SEED] if any(number["shots"] and number["expected"] == 1 for number in compared) else []))


def _groups(numbers: Numbers, grid: Grid) -> Iterator[Sequence[Mapping[str, Any]]]:
    """The groups of numbers that are compared: a block's column, or a row. Numbers of a single class are left out."""
    groups: dict[tuple, list[Mapping[str, Any]]] = {}
    for line, row in enumerate(grid.rows):
        for column in grid.columns:
            number = numbers.at(row, column)
            if number is not None and not number["one_class"]:
                group = (line,) if grid.compete_along_row else (row.labels[0], column.labels)
                groups.setdefault(group, []).append(number)
    yield from groups.values()


def _leads(
    one: Mapping[str, Any], other: Mapping[str, Any], values: Mapping[tuple, Mapping[tuple[int, int], float]]
) -> bool:
    lead = one["mean"] - other["mean"]
    if round(lead, 4) <= 0:  # equal as printed
        return False
    if not one["shots"] and not other["shots"]:
        return True
    first, second = values[place(one)], values[place(other)]
    spread = metrics.sample_std([_of(first, run) - _of(second, run) for run in (first if one["shots"] else second)])
    return spread is not None and round(lead - spread, 9) > 0


def _of(values: Mapping[tuple[int, int], float], run: tuple[int, int]) -> float:
    """The value of a run (half, seed). Without training, there is one for each half, or for all classes a single one."""
    return next(values[key] for key in (run, (run[0], 0), (0, 0)) if key in values)
