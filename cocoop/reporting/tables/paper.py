"""Published numbers (config/paper), to be shown next to ours."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cocoop import metrics
from cocoop.config.paper import ACCURACY, files, read, shots_of
from cocoop.config.paper import FOLDER as FOLDER
from cocoop.errors import unknown
from cocoop.reporting.records.statistics import AVERAGE

ACCURACIES = ("base", "new", "all")


class Printed(NamedTuple):
    """A published number: an accuracy (a fraction) or a count of parameters.

    Attributes:
        verified: whether two independent sources confirm it.
        selected: whether something in its run was chosen by test accuracy.
        computed: whether it is an average that is not printed but computed from the printed numbers.
        std: the published standard deviation over seeds, a fraction; None without one.
    """

    value: float
    verified: bool
    selected: bool = False
    computed: bool = False
    std: float | None = None


@dataclass(frozen=True)
class Row:
    """A published row and where it comes from.

    Attributes:
        variant: the variant whose results it is compared with; None if no variant computes the method.
        method: the name of the method in config/publications.yaml; None if it is that of the variant.
        shots: shots of its numbers; several if its numbers are lists.
        run_by: who computed it: authors, others or unknown; None if the file does not describe its rows.
        source: where it was read.
        backbone: the backbone it was measured with; None if it is compared with any.
        selected: what was chosen by test accuracy; None if nothing is known to be.
        selected_datasets: the datasets concerned; None for all.
    """

    variant: str | None
    shots: tuple[int, ...]
    method: str | None = None
    run_by: str | None = None
    source: str = ""
    backbone: str | None = None
    selected: str | None = None
    selected_datasets: frozenset[str] | None = None

    def is_selected(self, dataset: str) -> bool:
        """Whether a number of this dataset (or the average) was selected by test accuracy."""
        return self.selected is not None and dataset in {AVERAGE, *(self.selected_datasets or {dataset})}


@dataclass(frozen=True)
class PaperTable:
    """One table of published numbers.

    Attributes:
        measure: what its numbers are, accuracy or a name of `cocoop.config.measures`.
        rows: by name; without a description in the file, each variant is a row of its own name.
        described: whether the file describes its rows.
        average_over: the datasets under an average.
        values: values[dataset][row][metric] is one number, or one for each of the row's shots; datasets include `average`.
    """

    name: str
    title: str
    setting: str
    sources: tuple[str, ...]
    rows: Mapping[str, Row]
    described: bool
    average_over: frozenset[str]
    values: Mapping[str, Mapping[str, Mapping[str, Printed | tuple[Printed | None, ...]]]]
    measure: str = ACCURACY

    def find(self, target: str, row: str, shots: int, metric: str) -> Printed | None:
        """The number of a row at this place; None if there is none. Untrained variants have 0 shots."""
        found = self.values.get(target, {}).get(row, {}).get(metric)
        if isinstance(found, Printed) or found is None:
            return found if found and shots in (0, *self.rows[row].shots) else None
        return dict(zip(self.rows[row].shots, found, strict=True)).get(shots)


def load(folder: Path | None = None) -> dict[str, PaperTable]:
    """All tables by file name (`cocoop.config.paper.files`); an invalid file is a UserError."""
    return {name: _table(path) for name, path in files(folder).items()}


def choose(papers: Mapping[str, PaperTable] | None, experiment: Mapping[str, Any]) -> PaperTable | None:
    """The table that an experiment names as its `paper`; None if it names none."""
    name = experiment["paper"]
    if name is None or papers is None:
        return None
    if name not in papers:
        raise unknown("paper table", name, papers, f"experiment {experiment['name']!r}: paper")
    return papers[name]


def _table(path: Path) -> PaperTable:
    content = read(path)
    described = content.get("rows", {})
    names = described or {name: {"variant": name} for rows in content["values"].values() for name in rows}
    rows = {name: _row(content, name, about) for name, about in names.items()}
    values = {
        dataset: {
            name: dict(_numbers(numbers, rows[name].is_selected(dataset), _verified(content, name, numbers)))
            for name, numbers in printed.items()
        }
        for dataset, printed in content["values"].items()
    }
    over = frozenset(content["average_over"])
    return PaperTable(
        name=path.stem,
        title=content["title"],
        setting=content["setting"],
        sources=tuple(content.get("sources", ())),
        rows=rows,
        described=bool(described),
        average_over=over,
        measure=content.get("measure", ACCURACY),
        values=values | {AVERAGE: {**_averages(values, rows, over), **values.get(AVERAGE, {})}},
    )


def _row(content: Mapping[str, Any], name: str, about: Mapping[str, Any]) -> Row:
    shots, selected = shots_of(content, name), about.get("selected_on_test", {})
    return Row(
        variant=about.get("variant"),
        shots=tuple(shots) if isinstance(shots, list) else (shots,),
        method=about.get("method"),
        run_by=about.get("run_by"),
        source=about.get("source", ""),
        backbone=about.get("backbone"),
        selected=selected.get("what"),
        selected_datasets=frozenset(selected["datasets"]) if "datasets" in selected else None,
    )


def _verified(content: Mapping[str, Any], name: str, numbers: Mapping[str, Any]) -> bool:
    of_row = content.get("rows", {}).get(name, {}).get("verified", content["verified"])
    return numbers.get("verified", of_row)


def _numbers(
    numbers: Mapping[str, Any], selected: bool, verified: bool
) -> Iterator[tuple[str, Printed | tuple[Printed | None, ...]]]:
    stds = numbers.get("std", {})
    for metric, value in numbers.items():
        if metric == "parameters":
            yield metric, Printed(value, verified)
        elif isinstance(value, list):
            yield metric, tuple(None if one is None else Printed(one / 100, verified, selected) for one in value)
        elif metric not in ("verified", "std"):
            std = stds[metric] / 100 if metric in stds else None
            yield metric, Printed(value / 100, verified, selected, std=std)


def _averages(values: Mapping[str, Any], rows: Mapping[str, Row], over: frozenset[str]) -> dict[str, dict[str, Any]]:
    """The averages of rows that print none, from their numbers for all datasets `over` which an average is."""
    found: dict[str, dict[str, Any]] = {}
    for name, row in rows.items():
        printed = [values.get(dataset, {}).get(name, {}) for dataset in sorted(over)]
        for metric in ACCURACIES:
            if not printed or any(metric not in numbers for numbers in printed):
                continue
            columns = [numbers[metric] for numbers in printed]
            listed = not isinstance(columns[0], Printed)
            per_shots = zip(*columns, strict=True) if listed else [columns]
            means = tuple(_mean(of_shots, row.is_selected(AVERAGE)) for of_shots in per_shots)
            found.setdefault(name, {})[metric] = means if listed else means[0]
    return found


def _mean(printed: Any, selected: bool) -> Printed | None:
    there = [number for number in printed if number is not None]
    if len(there) < len(printed):
        return None
    value = metrics.mean([number.value for number in there])
    return None if value is None else Printed(value, all(number.verified for number in there), selected, computed=True)
