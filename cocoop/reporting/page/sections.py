"""The section of an experiment: its tables and paired comparisons, and its figures with their words and files.

Also that of published numbers.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from cocoop import io
from cocoop.reporting import figures, tables
from cocoop.reporting.page import view
from cocoop.reporting.page.pictures import data_uri
from cocoop.reporting.page.view import Names
from cocoop.reporting.records import records
from cocoop.reporting.records.cost import PER_VARIANT
from cocoop.reporting.tables import comparison, paper, stacking
from cocoop.reporting.tables import published as numbers
from cocoop.reporting.tables.rendering import Table

FORMS = ("svg", "pdf", "png")


def section(
    results: Path,
    experiment: Mapping[str, Any],
    papers: Mapping[str, paper.PaperTable],
    names: Names,
    folder: Path,
) -> dict[str, Any]:
    """What the page shows of an experiment: its tables, its paired comparison and its figures; folder: that of the page."""
    place = results / "experiments" / experiment["name"]
    path, cost = place / "records.csv", place / "tables" / f"{tables.COST}.csv"
    measured = _measured(cost) if cost.exists() else None
    built = tables.build(experiment, records.load(path), papers, records.load_notes(path), measured)
    return {
        "name": experiment["name"],
        "title": experiment["title"],
        "caption": built[0].caption,
        "summary": built[0].tidy,
        "parts": list(_parts([*built, *comparison.load(experiment, place / "paired")], names)),
        "figures": list(_figures(place / "figures", experiment, folder)),
    }


def _measured(cost: Path) -> pd.DataFrame:
    """The costs of an experiment's variants, from the file of the tables stage; `draw` is a text, also an empty one."""
    found = pd.read_csv(cost, dtype={"draw": "str"})
    return found[[column for column in PER_VARIANT if column in found]].fillna({"draw": ""})


def _parts(built: Sequence[Table], names: Names) -> Iterator[dict[str, Any]]:
    """The tables that have rows, each with what its caption and notes add to those of the first."""
    first = built[0]
    for table in built:
        if table is first or table.rows:
            other = table is not first
            told = other and table.caption in first.caption
            yield {
                "view": view.of_table(table, names),
                "compares": table.name.startswith(stacking.AGAINST),
                "caption": "" if told else table.caption.removeprefix(first.caption).strip(),
                "notes": [note for note in table.notes if not other or note not in first.notes],
            }


def published(
    experiments: Sequence[Mapping[str, Any]],
    summaries: Sequence[pd.DataFrame],
    papers: Mapping[str, paper.PaperTable],
    names: Names,
) -> list[dict[str, Any]]:
    """What the page shows of the published numbers of the files that the experiments name, with ours among them.

    summaries: the tidy numbers of each experiment's first table.
    """
    named = {experiment["paper"] for experiment in experiments}
    ours = [
        (one, part)
        for experiment, summary in zip(experiments, summaries, strict=True)
        for one, part in stacking.of_each(experiment, summary)
    ]
    found = numbers.tables([table for name, table in papers.items() if name in named], ours)
    return [
        {"view": view.of_table(replace(table, blocked_by=0), names), "caption": table.caption, "notes": table.notes}
        for table in found
    ]


def _figures(place: Path, experiment: Mapping[str, Any], folder: Path) -> Iterator[dict[str, Any]]:
    """The figures that were drawn, with the words of `figures.WORDS` and links to their files."""
    if not (place / figures.WORDS).exists():
        return
    described = io.read_json(place / figures.WORDS, "figures")["figures"]
    for name in figures.files(experiment):
        path = place / f"{name}.svg"
        if name in described and path.exists():
            files = {form.upper(): path.with_suffix(f".{form}") for form in FORMS}
            links = {form: link_to(file, folder) for form, file in files.items() if file.exists()}
            yield {**described[name], "uri": data_uri(path.read_bytes(), "image/svg+xml"), "links": links}


def link_to(path: Path, folder: Path) -> str:
    """A path as a link on a page in a folder."""
    return os.path.relpath(path, folder).replace(os.sep, "/")
