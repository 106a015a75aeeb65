"""The paper's numbers beside ours: the difference, and whether it lies within the spread over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cocoop.reporting.records.statistics import AVERAGE, without_single_classes
from cocoop.reporting.records.text import GAP, count, per_cent
from cocoop.reporting.tables.grids import Grid, Line, Numbers, mean_text
from cocoop.reporting.tables.paper import PaperTable, Printed
from cocoop.reporting.tables.rendering import Cell, Table

DAGGER = "†"
WITHIN, BEYOND = "✓", "✗"
ADDED = ("paper", "paper_verified", "difference", "difference_in_std", "within_std")
TIDY = ["source", "target", "label", "variant", "shots", "metric", "n", "mean", "std", "one_class", *ADDED]


def with_paper(summary: pd.DataFrame, paper: PaperTable | None) -> pd.DataFrame:
    """Adds the columns `ADDED` to a summary: fractions, missing where the paper prints nothing.

    within_std: the paper's number is at most one standard deviation over seeds (ddof 1) away from our mean.
    """
    targets = frozenset(without_single_classes(summary["target"], summary)) - {*summary["source"], AVERAGE}
    found = [_find(paper, row, targets) for row in summary.to_dict("records")]
    difference = summary["mean"] - pd.Series([printed.value if printed else None for printed in found], dtype="float64")
    comparable = difference.notna() & (summary["std"] > 0)
    return summary.assign(
        paper=[printed.value if printed else float("nan") for printed in found],
        paper_verified=pd.array([printed.verified if printed else pd.NA for printed in found], dtype="boolean"),
        difference=difference,
        difference_in_std=(difference / summary["std"]).where(comparable),
        within_std=(difference.abs() <= summary["std"]).astype("boolean").where(comparable),
    )


def table(
    experiment: Mapping[str, Any],
    summary: pd.DataFrame,
    grid: Grid,
    paper: PaperTable | None,
    caption: str,
    common: Sequence[str],
) -> Table:
    """For each number that the paper prints too: ours, the paper's, the difference with ✓ or ✗ for the spread."""
    numbers = Numbers(summary, grid)
    rows = [row for row in grid.rows if any(_printed(numbers.at(row, column)) for column in grid.columns)]
    columns = [column for column in grid.columns if any(_printed(numbers.at(row, column)) for row in rows)]
    header = [text for column in columns for text in (column.labels[0], "paper", "difference")]
    counting = ("paper",) if "Parameters" in grid.names else ()
    labels = [(*row.labels, *(_printed_parameters(paper, row) for _ in counting)) for row in rows]
    cells = [_cells([numbers.at(row, column) for column in columns]) for row in rows]
    shown = [(*map(Cell, label), *cell) for label, cell in zip(labels, cells, strict=True)]
    tidy = summary[summary["paper"].notna()][TIDY]
    return Table(
        name="against_paper",
        title=f"{experiment['title']}: beside the paper's numbers",
        caption=_caption(caption, paper),
        tidy=tidy,
        wide=pd.DataFrame([_wide(numbers, grid, row, columns) for row in rows]),
        header=(*grid.names, *counting, *header),
        rows=tuple(shown),
        labels=grid.texts,
        notes=_notes(tidy, paper, common),
    )


def _printed_parameters(paper: PaperTable | None, row: Line) -> str:
    found = paper.find(row.key["target"], row.key["series"], 0, "parameters") if paper else None
    return count(found.value) + DAGGER * (not found.verified) if found else GAP


def _find(paper: PaperTable | None, row: Mapping[str, Any], targets: frozenset[str]) -> Printed | None:
    if paper is None or (row["target"] == AVERAGE and targets != paper.average_over):
        return None
    return paper.find(row["target"], row["variant"], row["shots"], row["metric"])


def _printed(number: Mapping[str, Any] | None) -> bool:
    return number is not None and not pd.isna(number["paper"])


def _cells(numbers: Sequence[Mapping[str, Any] | None]) -> tuple[Cell, ...]:
    texts: list[str] = []
    for number in numbers:
        if number is None or not _printed(number):
            texts += [mean_text(number) if number else "", "", ""]
            continue
        mark = "" if pd.isna(number["within_std"]) else f" {WITHIN if number['within_std'] else BEYOND}"
        paper = per_cent(number["paper"]) + DAGGER * (not number["paper_verified"])
        texts += [mean_text(number), paper, per_cent(number["difference"], sign=True) + mark]
    return tuple(map(Cell, texts))


def _wide(numbers: Numbers, grid: Grid, row: Line, columns: Sequence[Line]) -> dict[str, Any]:
    wide: dict[str, Any] = dict(zip(grid.names, row.labels, strict=True))
    for column in columns:
        number, label = numbers.at(row, column) or {}, column.labels[0]
        wide |= {label: number.get("mean"), f"{label} paper": number.get("paper")}
        wide[f"{label} difference"] = number.get("difference")
    return wide


def _caption(caption: str, paper: PaperTable | None) -> str:
    return caption + (f" Beside it {paper.title} ({paper.setting})." if paper else " The paper has no such table.")


def _notes(tidy: pd.DataFrame, paper: PaperTable | None, common: Sequence[str]) -> tuple[str, ...]:
    if paper is None or tidy.empty:
        return ("The paper prints no number for these datasets and methods.",)
    found = [
        f"{WITHIN}: the paper's number is at most one standard deviation over our seeds (ddof 1) from our mean; "
        f"{BEYOND}: further away; neither: a single run, without spread. The paper prints no spread of its own."
    ]
    if not tidy["paper_verified"].all():
        found.append(f"{DAGGER} not confirmed by two independent sources ({'; '.join(paper.sources)}).")
    return (*found, *common)
