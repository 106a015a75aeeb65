"""The section of an experiment: its tables, the paired comparison, and its figures with their words and files."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cocoop import io
from cocoop.reporting import figures, tables
from cocoop.reporting.page import view
from cocoop.reporting.page.pictures import data_uri
from cocoop.reporting.page.view import Names
from cocoop.reporting.records import experiment as experiments_of
from cocoop.reporting.records import records
from cocoop.reporting.records.cost import PER_VARIANT
from cocoop.reporting.records.text import count, per_cent
from cocoop.reporting.tables import paper
from cocoop.reporting.tables.rendering import Cell, Table

FORMS = ("svg", "pdf", "png")
PAIRED_CAPTION = (
    "Difference of two methods on the same test images in percentage points, over all common seeds, with a 95 % bootstrap "
    "interval over test images. paired.csv contains McNemar's test of each seed."
)


def section(
    results: Path,
    experiment: Mapping[str, Any],
    papers: Mapping[str, paper.PaperTable],
    names: Names,
    folder: Path,
) -> dict[str, Any]:
    """What the page shows of an experiment: its tables, its paired comparison and its figures; folder: that of the page."""
    place = results / "experiments" / experiment["name"]
    paired, path, cost = place / "paired/paired.csv", place / "records.csv", place / "tables" / f"{tables.COST}.csv"
    measured = pd.read_csv(cost)[PER_VARIANT] if cost.exists() else None
    built = tables.build(experiment, records.load(path), papers, records.load_notes(path), measured)
    parts = list(_parts(built, names))
    if paired.exists():
        parts += _paired(experiment, pd.read_csv(paired), names)
    return {
        "name": experiment["name"],
        "title": experiment["title"],
        "caption": built[0].caption,
        "parts": parts,
        "figures": list(_figures(place / "figures", experiment["table"], folder)),
    }


def _parts(built: Sequence[Table], names: Names) -> Iterator[dict[str, Any]]:
    """The tables that have rows, each with what its caption and notes add to those of the first."""
    first = built[0]
    for table in built:
        if table is first or table.rows:
            other = table is not first
            yield {
                "view": view.of_table(table, names),
                "compares": table.name == "against_paper",
                "caption": table.caption.removeprefix(first.caption).strip() if other else table.caption,
                "notes": [note for note in table.notes if not other or note not in first.notes],
            }


def _figures(place: Path, kind: str, folder: Path) -> Iterator[dict[str, Any]]:
    """The figures that were drawn, with the words of `figures.WORDS` and links to their files."""
    if not (place / figures.WORDS).exists():
        return
    described = io.read_json(place / figures.WORDS, "figures")["figures"]
    for name in figures.NAMES[kind]:
        path = place / f"{name}.svg"
        if name in described and path.exists():
            files = {form.upper(): path.with_suffix(f".{form}") for form in FORMS}
            links = {form: link_to(file, folder) for form, file in files.items() if file.exists()}
            yield {**described[name], "uri": data_uri(path.read_bytes(), "image/svg+xml"), "links": links}


def link_to(path: Path, folder: Path) -> str:
    """A path as a link on a page in a folder."""
    return os.path.relpath(path, folder).replace(os.sep, "/")


def _paired(experiment: Mapping[str, Any], frame: pd.DataFrame, names: Names) -> list[dict[str, Any]]:
    """The paired comparison over all seeds; nothing if there is none."""
    labels, titles = experiments_of.named(experiment["variants"]), experiments_of.dataset_titles(experiment)
    header = ("Dataset", "Method", "Against", "Classes", "Shots", "Images", "Difference", "95 % interval")
    rows = []
    for row in frame[frame["seed"].astype(str) == "all"].to_dict("records"):
        interval = f"{per_cent(row['interval_low'], sign=True)} to {per_cent(row['interval_high'], sign=True)}"
        words = (titles[row["target"]], labels[row["second"]], labels[row["first"]], row["target_subset"])
        numbers = (str(row["shots"]), count(row["images"]), per_cent(row["difference"], sign=True), interval)
        rows.append([Cell(text) for text in (*words, *numbers)])
    if not rows:
        return []
    title = "Paired comparison: same seeds, same test images"
    return [
        {
            "view": view.build(title, header, rows, 4, names),
            "compares": False,
            "caption": PAIRED_CAPTION,
            "notes": [],
        }
    ]
