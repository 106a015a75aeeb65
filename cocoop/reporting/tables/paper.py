"""The paper's numbers (config/paper), to be shown beside ours."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cocoop.config.paper import FOLDER, read
from cocoop.errors import unknown


class Printed(NamedTuple):
    """A number of the paper: an accuracy as a fraction, or a count of parameters, and whether two sources confirm it."""

    value: float
    verified: bool


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper; `values[dataset][variant][metric]`, datasets include `average`."""

    name: str
    title: str
    setting: str
    shots: int
    sources: tuple[str, ...]
    average_over: frozenset[str]
    values: Mapping[str, Mapping[str, Mapping[str, Printed]]]

    def find(self, target: str, variant: str, shots: int, metric: str) -> Printed | None:
        """The number the paper prints at this place; None if it prints none. Untrained variants have 0 shots."""
        if shots not in (0, self.shots):
            return None
        return self.values.get(target, {}).get(variant, {}).get(metric)


def load(folder: Path = FOLDER) -> dict[str, PaperTable]:
    """All tables of the folder by file name; a file that does not say what it must is a UserError."""
    return {path.stem: _table(path) for path in sorted(Path(folder).glob("*.yaml"))}


def choose(papers: Mapping[str, PaperTable] | None, experiment: Mapping[str, Any]) -> PaperTable | None:
    """The table an experiment names as its `paper`; None if it names none."""
    name = experiment["paper"]
    if name is None or papers is None:
        return None
    if name not in papers:
        raise unknown("paper table", name, papers, f"experiment {experiment['name']!r}: paper")
    return papers[name]


def _table(path: Path) -> PaperTable:
    content = read(path)
    values = {
        dataset: {variant: dict(_row(row, content["verified"])) for variant, row in rows.items()}
        for dataset, rows in content["values"].items()
    }
    over = frozenset(content["average_over"])
    return PaperTable(
        path.stem, content["title"], content["setting"], content["shots"], tuple(content["sources"]), over, values
    )


def _row(row: Mapping[str, Any], verified: bool) -> Iterator[tuple[str, Printed]]:
    confirmed = row.get("verified", verified)
    for metric, value in row.items():
        if metric != "verified":
            yield metric, Printed(value if metric == "parameters" else value / 100, confirmed)
