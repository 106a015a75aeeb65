"""How prompts are laid out for the exact encoder: what is shared, what is constant, and where each class's own tokens lie.

A prompt is a row of entries, each a token id or a context vector. For a causal tower three parts of it differ in cost:

    shared    entries that all prompts begin with ([SOS][context] when the class name stands at the end); computed once per context
    head      a class's own entries before its first context vector (class token position "front"); constant, computed once for ever
    tail      the rest up to EOT; the only part computed per class and context

Tails of all classes lie one behind the other without padding; classes with tails (and heads) of equal length lie together, so that
attention sees plain tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from os.path import commonprefix
from typing import NamedTuple

from cocoop.clip.prompts import Prompts


@dataclass(frozen=True)
class Group:
    """Classes [first, last) of the packed order, all with `head` and `tail` entries; rows count from the piece's start."""

    first: int
    last: int
    head: int
    tail: int
    head_row: int
    tail_row: int

    @property
    def classes(self) -> int:
        return self.last - self.first

    @property
    def head_rows(self) -> slice:
        return slice(self.head_row, self.head_row + self.classes * self.head)

    @property
    def tail_rows(self) -> slice:
        return slice(self.tail_row, self.tail_row + self.classes * self.tail)


class Row(NamedTuple):
    """One entry of a packed list: whose it is, its position in the prompt, and the entry (token id, or -(m + 1))."""

    owner: int
    position: int
    entry: int


class Packing:
    """The layout of one list of prompts. `order[k]` is the class at packed place k."""

    def __init__(self, prompts: Prompts) -> None:
        self.prompts = prompts
        shortest = min(len(entries) for entries in prompts.classes)
        common = commonprefix([list(entries[: shortest - 1]) for entries in prompts.classes])
        if not prompts.shared:
            common = common[: _constants(common)]
        self.shared: tuple[int, ...] = tuple(common)
        self.constants = _constants(self.shared)
        self.learned = any(entry < 0 for entries in prompts.classes for entry in entries)
        lengths = {c: self._lengths(entries) for c, entries in enumerate(prompts.classes)}
        self.order = sorted(lengths, key=lambda c: (*lengths[c], c))
        self.lengths = [lengths[c] for c in self.order]

    def _lengths(self, entries: Sequence[int]) -> tuple[int, int]:
        own = entries[len(self.shared) :]
        head = _constants(own) if self.learned and self.constants == len(self.shared) else 0
        head = min(head, len(own) - 1)
        return head, len(own) - head

    @cached_property
    def tail_entries(self) -> int:
        """T, the packed length: tail entries of all classes."""
        return sum(tail for _, tail in self.lengths)

    def groups(self, first: int = 0, last: int | None = None) -> tuple[Group, ...]:
        """The groups of equal lengths among the classes [first, last) of the packed order."""
        found, head_row, tail_row, place = [], 0, 0, first
        for (head, tail), members in groupby(self.lengths[first:last]):
            count = len(list(members))
            found.append(Group(place, place + count, head, tail, head_row, tail_row))
            place, head_row, tail_row = place + count, head_row + count * head, tail_row + count * tail
        return tuple(found)

    def prefix(self) -> tuple[list[Row], list[Row]]:
        """The shared entries before the first context vector, and those from it on."""
        rows = [Row(0, position, entry) for position, entry in enumerate(self.shared)]
        return rows[: self.constants], rows[self.constants :]

    def heads(self) -> list[Row]:
        """All classes' constant heads."""
        return [row for place, (head, _) in enumerate(self.lengths) for row in self._own(place, 0, head)]

    def tails(self) -> list[Row]:
        """All classes' tails; the last entry of each is EOT."""
        return [row for place, (head, tail) in enumerate(self.lengths) for row in self._own(place, head, head + tail)]

    def _own(self, place: int, start: int, stop: int) -> list[Row]:
        owner, shared = self.order[place], len(self.shared)
        entries = self.prompts.classes[owner]
        return [Row(owner, at, entries[at]) for at in range(shared + start, shared + stop)]

    def rows_before(self, place: int) -> tuple[int, int]:
        """Head rows and tail rows of the classes before a packed place."""
        return sum(head for head, _ in self.lengths[:place]), sum(tail for _, tail in self.lengths[:place])

    def pieces(self, rows: int) -> list[tuple[int, int]]:
        """Class ranges [first, last) of the packed order with at most `rows` tail entries each (one class at least)."""
        found, first, filled = [], 0, 0
        for place, (_, tail) in enumerate(self.lengths):
            if place > first and filled + tail > rows:
                found.append((first, place))
                first, filled = place, 0
            filled += tail
        return [*found, (first, len(self.lengths))]


def _constants(entries: Sequence[int]) -> int:
    """Number of leading entries that are tokens."""
    return next((i for i, entry in enumerate(entries) if entry < 0), len(entries))
