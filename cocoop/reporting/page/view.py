"""Tables as the page shows them: blocks of rows, row headers, colours of methods, and what the filters look for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cocoop.reporting.figures import looks
from cocoop.reporting.records.experiment import dataset_titles, named
from cocoop.reporting.tables.rendering import Cell, Table


class Shown(NamedTuple):
    """One cell. word: it is text, not a number; heads: it names its row; methods: variants that the filter finds it by;
    look: place of the variant whose colour stands beside it.
    """

    text: str
    word: bool = False
    heads: bool = False
    best: bool = False
    methods: str = ""
    look: int | None = None


class Row(NamedTuple):
    cells: list[Shown]
    methods: str = ""
    datasets: str = ""


@dataclass
class Block:
    """Rows with a heading in common; without a heading if `title` is empty."""

    title: str
    datasets: str = ""
    rows: list[Row] = field(default_factory=list)


@dataclass
class View:
    title: str
    head: list[Shown]
    blocks: list[Block]


class Names:
    """Finds the variants and datasets that the labels of experiments mean."""

    def __init__(self, experiments: Sequence[Mapping[str, Any]]) -> None:
        self.places: dict[str, int] = {}
        self._variants: dict[str, str] = {}
        self._datasets: dict[str, str] = {}
        for experiment in experiments:
            self.places |= looks.places(experiment)
            self._variants |= {label: name for name, label in named(experiment["variants"]).items()}
            self._datasets |= {title: name for name, title in dataset_titles(experiment).items()}

    @property
    def variants(self) -> list[tuple[str, str]]:
        """Name and label of each variant, in the order of the configuration."""
        return sorted(((name, label) for label, name in self._variants.items()), key=lambda pair: self.places[pair[0]])

    @property
    def datasets(self) -> list[tuple[str, str]]:
        return [(name, title) for title, name in self._datasets.items()]

    def variant(self, label: str) -> str:
        """The variant of `CoOp` or `CoOp, 4 shots`; empty if it is none."""
        return _meant(label, self._variants)

    def dataset(self, label: str) -> str:
        """The dataset of `Digits`, `Digits (source)` or `Digits, Base`; empty if it is none."""
        return _meant(label, self._datasets)

    def look(self, variant: str) -> int | None:
        return self.places.get(variant)


def _meant(label: str, known: Mapping[str, str]) -> str:
    found = [text for text in known if label == text or label.startswith((f"{text}, ", f"{text} ("))]
    return known[max(found, key=len)] if found else ""


def of_table(table: Table, names: Names) -> View:
    """A table in blocks, with the labels that their rows share as their heading."""
    return build(table.title, table.header, table.rows, table.labels, names, table.shared)


def build(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    labels: int,
    names: Names,
    shared: int | None = None,
) -> View:
    """labels: how many of the first columns name a row.

    shared: how many of them the rows of a block share (default: as `Table.shared`); fewer if every block would have a single
    row.
    """
    shared = min(1, labels - 1) if shared is None else shared
    while shared and len({_heading(row, shared) for row in rows}) == len(rows):
        shared -= 1
    columns = list(_methods_of(header, labels, names))
    head = [
        Shown(text, place < labels, False, False, columns[place], _look(text, columns[place], names))
        for place, text in enumerate(header)
    ]
    blocks: list[Block] = [] if shared else [Block("")]
    for place, row in enumerate(rows):
        if shared and (not place or _heading(row, shared) != _heading(rows[place - 1], shared)):
            found = _all_of(map(names.dataset, _heading(row, shared)))
            blocks.append(Block(": ".join(filter(None, _heading(row, shared))), found))
        blocks[-1].rows.append(_row(row, labels, columns, names, shared))
    return View(title, head[shared:], blocks)


def _heading(row: Sequence[Cell], shared: int) -> tuple[str, ...]:
    return tuple(cell.text for cell in row[:shared])


def _all_of(found: Iterable[str]) -> str:
    """The different names that were found, as the attributes of the page list them."""
    return " ".join(dict.fromkeys(filter(None, found)))


def _methods_of(header: Sequence[str], labels: int, names: Names) -> Iterator[str]:
    """The variant of each column: of its own heading, or of the last one before it (`CoOp`, `paper`, `difference`)."""
    variant = ""
    for place, text in enumerate(header):
        variant = (names.variant(text) or variant) if place >= labels else ""
        yield variant


def _look(text: str, variant: str, names: Names) -> int | None:
    return names.look(variant) if variant and names.variant(text) == variant else None


def _row(row: Sequence[Cell], labels: int, columns: Sequence[str], names: Names, skip: int) -> Row:
    heads = [cell.text for cell in row[:labels]]
    cells = []
    for place, cell in enumerate(row):
        if place >= skip:
            own = names.variant(cell.text) if place < labels else ""
            look = names.look(own) if own else None
            cells.append(Shown(cell.text, place < labels, place < labels, cell.best, columns[place], look))
    return Row(cells, _all_of(map(names.variant, heads)), _all_of(map(names.dataset, heads)))
