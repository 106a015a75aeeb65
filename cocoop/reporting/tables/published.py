"""All published numbers of config/paper as tables, by year and apart from those of another protocol, with ours among them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from cocoop.config.draw import shots_in_words
from cocoop.reporting.records.statistics import AVERAGE
from cocoop.reporting.records.text import per_cent
from cocoop.reporting.tables.entries import UNKNOWN, Entry, own, published, registry
from cocoop.reporting.tables.grids import METRICS
from cocoop.reporting.tables.measures import SHOWN
from cocoop.reporting.tables.paper import ACCURACY, PaperTable, Printed
from cocoop.reporting.tables.provenance import COMPUTED, DAGGER, SECOND_HAND, SELECTED
from cocoop.reporting.tables.rendering import Cell, Table

PROTOCOLS = {
    "inductive": "",
    "transductive": "transductive: with unlabelled images of the classes tested",
    "unknown": "not known whether with unlabelled images of the classes tested",
}


class Numbered:
    """The numbers of the entries of a file, and their footnotes, each of which is told once."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._numbers = {id(entry): number for number, entry in enumerate(entries, 1)}
        self._told: set[int] = set()

    def number(self, entry: Entry) -> int:
        return self._numbers[id(entry)]

    def footnotes(self, entries: Sequence[Entry]) -> Iterator[str]:
        """The sources of the entries that no table above has told."""
        new = [entry for entry in entries if self.number(entry) not in self._told]
        for entry in new:
            uses = f"; uses {entry.method['uses']}" if "uses" in entry.method else ""
            about = "Ours" if entry.ours else "Source"
            yield f"[{self.number(entry)}] {entry.method['title']}{uses}. {about}: {entry.note}."
        if len(new) < len(entries):
            yield f"Sources{' of the other rows' if new else ''}: under the tables above."
        self._told |= {self.number(entry) for entry in new}


def tables(papers: Iterable[PaperTable], ours: Sequence[tuple[Mapping[str, Any], pd.DataFrame]] = ()) -> list[Table]:
    """The tables of every file of config/paper that describes its rows: averages and all datasets, for each protocol.

    ours: experiments with their summaries (`statistics.summarize`). Those that name a file as their `paper` join its tables,
    where dataset, backbone, shots and classes are the same.
    """
    found = []
    for paper in sorted((paper for paper in papers if paper.described), key=lambda paper: paper.title):
        entries = sorted([*published(paper), *own(paper, ours)], key=lambda entry: entry.order)
        numbered = Numbered(entries)
        for protocol, about in PROTOCOLS.items():
            part = [entry for entry in entries if entry.method["protocol"] == protocol]
            found += list(_tables(paper, f"{paper.title}{about and f' ({about})'}", part, numbered))
    return found


def _tables(paper: PaperTable, title: str, entries: Sequence[Entry], numbered: Numbered) -> Iterator[Table]:
    """The averages, and all datasets; of a file with several numbers of shots, one table for each dataset."""
    places = {place for entry in entries for place in entry.numbers}
    metrics = [metric for metric in METRICS if any(metric == place[1] for place in places)]
    there = {place[0] for place in places}
    targets = {target: _title(target) for target in dict.fromkeys((AVERAGE, *paper.values)) if target in there}

    def table(about: str, columns: Mapping[tuple[str, str, int | None], str]) -> Table:
        return _table(paper, f"{title}{about}", entries, numbered, columns)

    if any(len(row.shots) > 1 for row in paper.rows.values()):
        shots = sorted({place[2] for place in places})
        for target, name in targets.items():
            yield table(f": {name}", {(target, metrics[0], number): shots_in_words(number) for number in shots})
        return
    if len(metrics) > 1:
        yield table(": averages", {(AVERAGE, metric, None): METRICS[metric] for metric in metrics})
    for metric in metrics:
        about = f": {METRICS[metric]}" if len(metrics) > 1 else ""
        yield table(about, {(target, metric, None): name for target, name in targets.items()})


def _table(
    paper: PaperTable,
    title: str,
    entries: Sequence[Entry],
    numbered: Numbered,
    columns: Mapping[tuple[str, str, int | None], str],
) -> Table:
    """One row for each entry with a number. columns: headings by place; a place with shots None takes those of any shots."""
    backbones = {entry.backbone for entry in entries}
    several = len(backbones) > 1
    rows, tidy, shown = [], [], []
    for entry in entries:
        found = {place: _at(entry, *place) for place in columns}
        if not any(found.values()):
            continue
        shown.append(entry)
        year, venue = entry.method["year"] or UNKNOWN, entry.method["venue"] or UNKNOWN
        labels = [
            str(year),
            entry.method["title"],
            *([entry.backbone] * several),
            str(venue),
            f"{entry.run_by} [{numbered.number(entry)}]",
        ]
        rows.append(tuple(map(Cell, [*labels, *map(_text, found.values())])))
        about = {
            "year": year,
            "method": entry.method["title"],
            "backbone": entry.backbone,
            "run_by": entry.run_by,
            "source": entry.note,
        }
        tidy += [{**about, "column": columns[place], paper.measure: number.value, "std": number.std, "verified": number.verified}
                 for place, number in found.items() if number]  # fmt: skip
    header = ("Year", "Method", *(("Backbone",) * several), "Venue", "Run by", *columns.values())
    backbone = f" Backbone: {next(iter(backbones))}." if not several else ""
    return Table(
        name=paper.name,
        title=title,
        caption=f"{_what(paper)} in per cent; {paper.setting}.{backbone}",
        tidy=pd.DataFrame(tidy),
        wide=pd.DataFrame(tidy),
        header=header,
        rows=tuple(rows),
        labels=len(header) - len(columns),
        notes=tuple(_notes(shown, numbered, [cell.text for row in rows for cell in row])),
    )


def _what(paper: PaperTable) -> str:
    return "Top-1 accuracy" if paper.measure == ACCURACY else SHOWN[paper.measure].title


def _at(entry: Entry, target: str, metric: str, shots: int | None) -> Printed | None:
    if shots is not None:
        return entry.numbers.get((target, metric, shots))
    return next((number for place, number in entry.numbers.items() if place[:2] == (target, metric)), None)


def _text(number: Printed | None) -> str:
    if number is None:
        return ""
    spread = "" if number.std is None else f" ± {per_cent(number.std)}"
    return (
        per_cent(number.value)
        + spread
        + DAGGER * (not number.verified)
        + SELECTED * number.selected
        + COMPUTED * number.computed
    )


def _notes(entries: Sequence[Entry], numbered: Numbered, texts: Sequence[str]) -> Iterator[str]:
    yield from numbered.footnotes(entries)
    marks = {
        DAGGER: f"{SECOND_HAND}.",
        SELECTED: "selected by accuracy on the test set, which our runs never do.",
        COMPUTED: "not printed: computed here from the printed numbers of its datasets.",
    }
    for mark, meaning in marks.items():
        if any(mark in text for text in texts):
            yield f"{mark} {meaning}"


def _title(target: str) -> str:
    if target == AVERAGE:
        return "Average"
    return str(registry().read("datasets", target, "config/paper")["title"])
