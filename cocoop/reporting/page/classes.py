"""Accuracy per class and the most confused pairs of one target subset, over all seeds of a variant."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cocoop.config.draw import shots_text
from cocoop.metrics import accuracy, mean
from cocoop.reporting.page.evaluations import Evaluated

MOST_PAIRS = 5


class ClassRow(NamedTuple):
    """One class: its name, its number of test images, and the accuracy of each series (a fraction; None without images)."""

    name: str
    images: int
    rates: list[float | None]


@dataclass
class Tally:
    """Counts of one series over its seeds. job: its first evaluation, which example images are taken from."""

    label: str
    job: Evaluated
    seeds: list[int] = field(default_factory=list)
    correct: Counter[int] = field(default_factory=Counter)
    total: Counter[int] = field(default_factory=Counter)
    confused: Counter[tuple[int, int]] = field(default_factory=Counter)

    def add(self, record: Mapping[str, Any]) -> None:
        """Adds the record of one seed; a seed that occurs in two evaluations counts once."""
        if record["seed"] in self.seeds:
            return
        self.seeds.append(record["seed"])
        for entry in record["classes"]:
            self.correct[entry["label"]] += entry["correct"]
            self.total[entry["label"]] += entry["total"]
        for pair in record["confusions"]:
            self.confused[pair["true"], pair["predicted"]] += pair["count"]

    def most_confused(self) -> list[tuple[int, int, int]]:
        """The pairs confused most often, as (true label, predicted label, count)."""
        ordered = sorted(self.confused.items(), key=lambda item: (-item[1], item[0]))
        return [(true, predicted, count) for (true, predicted), count in ordered[:MOST_PAIRS]]


@dataclass
class Group:
    """One target subset: class names and numbers of test images by label, and the tally of each series."""

    target: str
    subset: str
    names: dict[int, str] = field(default_factory=dict)
    images: dict[int, int] = field(default_factory=dict)
    series: dict[tuple, Tally] = field(default_factory=dict)

    def rows(self) -> list[ClassRow]:
        """The classes from the hardest (lowest mean accuracy over series) to the easiest."""
        rows = []
        for label, name in self.names.items():
            rates = [accuracy(tally.correct[label], tally.total[label]) for tally in self.series.values()]
            rows.append(ClassRow(name, self.images[label], rates))
        return sorted(rows, key=lambda row: (2.0 if mean(row.rates) is None else mean(row.rates), row.name))


def group(jobs: Sequence[Evaluated], titles: Mapping[str, str]) -> list[Group]:
    """The target subsets in the order of `titles`, with the runs of each variant that have the most shots.

    titles: text of each dataset.
    """
    most: dict[tuple, int] = {}
    for job in jobs:
        most[_series(job)] = max(most.get(_series(job), 0), job.settings["shots"])
    groups: dict[tuple[str, str], Group] = {}
    for job in jobs:
        if job.settings["shots"] == most[_series(job)]:
            for record in job.records:
                _add(groups, job, record, titles)
    order = list(titles)
    return sorted(groups.values(), key=lambda found: (order.index(found.target), found.subset))


def _add(
    groups: dict[tuple[str, str], Group], job: Evaluated, record: Mapping[str, Any], titles: Mapping[str, str]
) -> None:
    place = record["target"], record["target_subset"]
    found = groups.setdefault(place, Group(*place))
    for entry in record["classes"]:
        found.names[entry["label"]], found.images[entry["label"]] = entry["name"], entry["total"]
    tally = found.series.setdefault(_series(job), Tally(_label(job, titles), job))
    tally.add(record)


def _series(job: Evaluated) -> tuple:
    """The key of a series: its backbone, its variant and, if it is trained, the dataset, subset and draw it was trained on."""
    settings = job.settings
    trained = (settings["dataset"], settings["subset"], job.draw) if settings["shots"] else ()
    return job.backbone, settings["variant"], *trained


def _label(job: Evaluated, titles: Mapping[str, str]) -> str:
    settings = job.settings
    if not settings["shots"]:
        return job.name
    drawn = f"{shots_text(settings['shots'])} shots" + (f", {job.draw}" if job.draw else "")
    return f"{job.name}, trained on {titles[settings['dataset']]} ({settings['subset']}), {drawn}"
