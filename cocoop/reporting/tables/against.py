"""The table of published numbers next to ours: the difference, and whether it is within the spread over seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from cocoop.reporting.records.text import GAP, count, per_cent
from cocoop.reporting.tables import provenance
from cocoop.reporting.tables.beside import ADDED, MARKS, PUBLISHED
from cocoop.reporting.tables.grids import Grid, Line, Numbers, mean_text
from cocoop.reporting.tables.paper import PaperTable
from cocoop.reporting.tables.provenance import COMPUTED, DAGGER, SELECTED
from cocoop.reporting.tables.rendering import Cell, Table

WITHIN, BEYOND = "✓", "✗"
TIDY = ["source", "target", "label", "variant", "shots", "metric", "n", "mean", "std", "one_class", *ADDED]


def table(
    experiment: Mapping[str, Any],
    joined: pd.DataFrame,
    grid: Grid,
    paper: PaperTable | None,
    caption: str,
    common: Sequence[str],
) -> Table:
    """For each published number: ours, the published one, and the difference with ✓ or ✗ for the spread.

    A method with several published rows has a line (or, where methods are columns, a group of columns) for each.

    joined: result of `beside.join`; common: footnotes of every table of the experiment.
    """
    there = joined[joined["paper"].notna()]
    labels = provenance.labels(paper, list(there[PUBLISHED]))
    grid = _expanded(grid, there, labels)
    numbers = Numbers(joined, grid) if grid.rows and grid.columns else None
    rows = [row for row in grid.rows if any(_printed(_at(numbers, row, column)) for column in grid.columns)]
    columns = [column for column in grid.columns if any(_printed(_at(numbers, row, column)) for row in rows)]
    header = [text for column in columns for text in (column.labels[0], _name(column, labels), "difference")]
    counting = ("paper",) if "Parameters" in grid.names else ()
    named = [(*row.labels, *(_printed_parameters(paper, row) for _ in counting)) for row in rows]
    cells = [_cells([_at(numbers, row, column) for column in columns]) for row in rows]
    which = "published numbers" if paper is not None and paper.described else "the paper's numbers"
    return Table(
        name="against_paper",
        title=f"{experiment['title']}: next to {which}",
        caption=_caption(caption, paper),
        tidy=provenance.described(there, paper, [*TIDY, *((PUBLISHED, *MARKS) if labels else ())]),
        wide=pd.DataFrame([_wide(numbers, grid, row, columns, labels) for row in rows]),
        header=(*grid.names, *counting, *header),
        rows=tuple((*map(Cell, label), *cell) for label, cell in zip(named, cells, strict=True)),
        labels=grid.texts,
        notes=_notes(experiment, there, paper, labels, common),
    )


def _expanded(grid: Grid, there: pd.DataFrame, labels: Mapping[str, str]) -> Grid:
    """A grid with a line for each published row of a line's series; a row's label, if there is one, follows the line's words."""
    names = {
        str(series): list(dict.fromkeys(part[PUBLISHED])) for series, part in there.groupby("series", observed=True)
    }

    def lines(of: Sequence[Line], place: int) -> Iterator[Line]:
        for line in of:
            if "series" not in line.key:
                yield line
                continue
            for name in names.get(str(line.key["series"]), ()):
                label = (labels[name],) if labels else ()
                yield Line((*line.labels[:place], *label, *line.labels[place:]), line.key | {PUBLISHED: name})

    in_rows = bool(labels) and any("series" in row.key for row in grid.rows)
    texts = grid.texts
    return replace(
        grid,
        names=(*grid.names[:texts], *(("Published",) * in_rows), *grid.names[texts:]),
        rows=list(lines(grid.rows, texts)),
        columns=list(lines(grid.columns, 1)),
    )


def _name(column: Line, labels: Mapping[str, str]) -> str:
    """The heading of a column of published numbers."""
    if not labels:
        return "paper"
    return column.labels[1] if PUBLISHED in column.key else "published"


def _at(numbers: Numbers | None, row: Line, column: Line) -> Mapping[str, Any] | None:
    return numbers.at(row, column) if numbers else None


def _printed_parameters(paper: PaperTable | None, row: Line) -> str:
    found = paper.find(row.key["target"], row.key[PUBLISHED], 0, "parameters") if paper else None
    return count(found.value) + DAGGER * (not found.verified) if found else GAP


def _printed(number: Mapping[str, Any] | None) -> bool:
    return number is not None and not pd.isna(number["paper"])


def _cells(numbers: Sequence[Mapping[str, Any] | None]) -> tuple[Cell, ...]:
    texts: list[str] = []
    for number in numbers:
        if number is None or not _printed(number):
            texts += [mean_text(number) if number else "", "", ""]
            continue
        mark = "" if pd.isna(number["within_std"]) else f" {WITHIN if number['within_std'] else BEYOND}"
        marks = DAGGER * (not number["paper_verified"]) + SELECTED * bool(number["paper_selected"])
        paper = per_cent(number["paper"]) + marks + COMPUTED * bool(number["paper_computed"])
        texts += [mean_text(number), paper, per_cent(number["difference"], sign=True) + mark]
    return tuple(map(Cell, texts))


def _wide(
    numbers: Numbers | None, grid: Grid, row: Line, columns: Sequence[Line], labels: Mapping[str, str]
) -> dict[str, Any]:
    wide: dict[str, Any] = dict(zip(grid.names, row.labels, strict=True))
    for column in columns:
        number, label = _at(numbers, row, column) or {}, " ".join(column.labels)
        wide |= {label: number.get("mean"), f"{label} paper": number.get("paper")}
        wide[f"{label} difference"] = number.get("difference")
    return wide


def _caption(caption: str, paper: PaperTable | None) -> str:
    return caption + (f" Next to it: {paper.title} ({paper.setting})." if paper else " The paper has no such table.")


def _notes(
    experiment: Mapping[str, Any],
    there: pd.DataFrame,
    paper: PaperTable | None,
    labels: Mapping[str, str],
    common: Sequence[str],
) -> tuple[str, ...]:
    if paper is None or there.empty:
        none = "The paper prints no number for these datasets and methods."
        if paper is not None and paper.described:
            none = "There is no published number for these datasets, methods and this backbone."
        return (none, *provenance.other_backbones(experiment, paper))
    number = "published number" if labels else "paper's number"
    spread = "" if labels else " The paper prints no spread of its own."
    meaning = (
        f"{WITHIN}: the {number} is at most one standard deviation over our seeds (ddof 1) from our mean; "
        f"{BEYOND}: further away; neither: a single run, without spread.{spread}"
    )
    return (meaning, *provenance.footnotes(experiment, there, paper, labels), *common)
