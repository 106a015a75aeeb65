"""The lines of published numbers, and those of ours that belong among them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pandas as pd

from cocoop import places
from cocoop.config.paper import publications
from cocoop.config.registry import Registry
from cocoop.errors import counted
from cocoop.reporting.records.statistics import AVERAGE, without_single_classes
from cocoop.reporting.tables.beside import of_the_authors_draw
from cocoop.reporting.tables.grids import METRICS
from cocoop.reporting.tables.paper import PaperTable, Printed, Row
from cocoop.reporting.tables.provenance import RUN_BY, SELECTED

OURS = "this benchmark"
UNKNOWN = "?"
Place = tuple[str, str, int]  # dataset or average, metric, shots


@dataclass(frozen=True)
class Entry:
    """A line of numbers: who published them, or that they are ours.

    numbers: by place; shots is that of the printed numbers. note: its source, or our configuration.
    """

    method: Mapping[str, Any]
    run_by: str
    backbone: str
    note: str
    numbers: Mapping[Place, Printed] = field(default_factory=dict)
    ours: bool = False

    @property
    def order(self) -> tuple[int, str, str, bool]:
        """By year (unknown ones last), method and backbone; ours after those of others."""
        return self.method["year"] or 9999, self.method["title"].lower(), self.backbone, self.ours


def published(paper: PaperTable) -> Iterator[Entry]:
    """The published rows; a row that stands beside several variants comes once."""
    known = set()
    for name, row in paper.rows.items():
        method, numbers = _method(row.method, row.variant), _numbers(paper, name, row)
        backbone = row.backbone or UNKNOWN
        key = method["title"], row.source, backbone, frozenset(numbers.items())
        if key not in known:
            known.add(key)
            yield Entry(method, RUN_BY[str(row.run_by)], backbone, _source(row), numbers)


def _method(name: str | None, variant: str | None) -> Mapping[str, Any]:
    """What config/publications.yaml says of a method, or of that of a variant."""
    if name is None and variant in registry().variants:
        name = registry().variants[str(variant)].method
    nothing = {"title": name or variant, "venue": None, "year": None, "protocol": "unknown"}
    return publications().get(str(name), nothing)


@cache
def registry() -> Registry:
    return Registry(places.SHIPPED / "config")


def _source(row: Row) -> str:
    selected = f"; {SELECTED} chosen by accuracy on the test set: {row.selected}" if row.selected else ""
    return f"{row.source}{selected}"


def _numbers(paper: PaperTable, name: str, row: Row) -> dict[Place, Printed]:
    found: dict[Place, Printed] = {}
    for target, rows in paper.values.items():
        for metric, printed in rows.get(name, {}).items():
            numbers = (
                dict.fromkeys(row.shots, printed)
                if isinstance(printed, Printed)
                else zip(row.shots, printed, strict=True)
            )
            found |= {
                (target, metric, shots): number
                for shots, number in dict(numbers).items()
                if number and metric in METRICS
            }
    return found


def own(paper: PaperTable, ours: Sequence[tuple[Mapping[str, Any], pd.DataFrame]]) -> Iterator[Entry]:
    """Our complete numbers, of the authors' draw, at places that the file has for the same backbone."""
    printed: dict[str, set[Place]] = {}
    for name, row in paper.rows.items():
        printed.setdefault(row.backbone or UNKNOWN, set()).update(_numbers(paper, name, row))
    for experiment, summary in ours:
        backbone = experiment["backbone"]["name"]
        if experiment["paper"] != paper.name or backbone not in printed:
            continue
        averaged = frozenset(without_single_classes(summary["target"], summary)) - {*summary["source"], AVERAGE}
        shots_of = {shots for _, _, shots in printed[backbone] if shots}
        for (variant, label), part in summary[summary["mean"].notna()].groupby(["variant", "label"], observed=True):
            numbers: dict[Place, Printed] = {}
            for number in part.to_dict("records"):
                other_datasets = number["target"] == AVERAGE and averaged != paper.average_over
                if other_datasets or not of_the_authors_draw(experiment, number):
                    continue
                std = None if pd.isna(number["std"]) else number["std"]
                for shots in [number["shots"]] if number["shots"] else [0, *shots_of]:
                    place = number["target"], number["metric"], shots
                    if place in printed[backbone]:
                        numbers[place] = Printed(number["mean"], True, std=std)
            if numbers:
                seeds = counted(int(part["expected"].max()), "seed", "seeds")
                note = f"{label}: {OURS}, experiment {experiment['name']}, {seeds}, settings {experiment.get('made_with', '')}"
                yield Entry(
                    {**_method(None, variant), "title": label}, OURS, backbone, note.rstrip(), numbers, ours=True
                )
