"""The tables of an experiment with several backbones: those of each backbone below each other, in blocks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.tables.rendering import Cell, Table

COLUMN, HEADING = "backbone", "Backbone"
AGAINST = "against_paper"  # the end of the names of tables next to published numbers


def stacked(parts: Mapping[tuple[str, str], Sequence[Table]]) -> list[Table]:
    """One table for each kind of table, with the backbone in the first column.

    Tables next to published numbers stay apart, as their columns and the numbers of their footnotes differ; one without a
    published number is left out, unless all are.

    parts: the tables of each backbone by its name and label, in the same order for all.
    """
    found: list[Table] = []
    for tables in zip(*parts.values(), strict=True):
        of_kind = dict(zip(parts, tables, strict=True))
        found += _apart(of_kind) if tables[0].name.endswith(AGAINST) else [_stack(of_kind)]
    return found


def of_each(experiment: Mapping[str, Any], tidy: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The experiment and the tidy numbers of a table once for each backbone; the reverse of `stacked`."""
    for one in experiments.of_each(experiment):
        part = tidy
        if COLUMN in tidy:
            part = tidy[tidy[COLUMN] == one["backbone"]["name"]].drop(columns=COLUMN)
        yield one, part


def _stack(tables: Mapping[tuple[str, str], Table]) -> Table:
    first = next(iter(tables.values()))
    if {table.header for table in tables.values()} != {first.header}:
        raise ValueError(f"table {first.name}: its columns differ between backbones")
    return replace(
        first,
        tidy=_concatenated(tables, "tidy"),
        wide=_concatenated(tables, "wide"),
        header=(HEADING, *first.header),
        rows=tuple((Cell(label), *row) for (_, label), table in tables.items() for row in table.rows),
        labels=first.labels + 1,
        blocked_by=first.shared + 1,
        notes=_notes(tables),
    )


def _apart(tables: Mapping[tuple[str, str], Table]) -> list[Table]:
    shown = {of: table for of, table in tables.items() if table.rows}
    if not shown:
        return [replace(next(iter(tables.values())), notes=_notes(tables))]
    return [
        replace(table, name=f"{table.name}_{name}", title=f"{table.title} ({label})")
        for (name, label), table in shown.items()
    ]


def _concatenated(tables: Mapping[tuple[str, str], Table], form: str) -> pd.DataFrame:
    frames = []
    for (name, _), table in tables.items():
        frame = getattr(table, form).copy()
        frame.insert(0, COLUMN, name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _notes(tables: Mapping[tuple[str, str], Table]) -> tuple[str, ...]:
    """What all tables note, then what only some do, each after its backbone's label."""
    every = list(tables.values())
    common = [note for note in every[0].notes if all(note in table.notes for table in every)]
    own = [f"{label}: {note}" for (_, label), table in tables.items() for note in table.notes if note not in common]
    return (*common, *own)
