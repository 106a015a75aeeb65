"""The layout of prompts for the exact prompt encoder: shared entries, constant entries, and entries of single classes.

A prompt is a sequence of entries, each a token id or a context vector. In a causal tower, three parts differ in cost:

    shared    leading entries of all prompts ([SOS][context] if the class name is at the end); computed once per context
    head      entries of a class before its first context vector (class token position "front"); constant, computed once
    tail      the rest up to EOT; the only part computed for each class and context, in tiles (`tiles.py`)

If a method changes the tower itself, no entries before the context are constant ("live"). With dropout inside the tower,
prompts share nothing ("apart").
"""

from collections.abc import Sequence
from typing import NamedTuple

from cocoop.text.prompts import Prompts
from cocoop.text.tiles import Tiles, lay_out, shared_length


class Row(NamedTuple):
    """One entry of a packed list.

    Attributes:
        owner: the class, or 0 if it does not belong to a single class.
        position: the position in the prompt.
        entry: token id, or -(m + 1) for context vector m.
    """

    owner: int
    position: int
    entry: int


class Packing:
    """The layout of a list of prompts. live: no entry is constant; apart: prompts share no entry."""

    def __init__(self, prompts: Prompts, live: bool = False, apart: bool = False) -> None:
        self.prompts, self.live, self.apart = prompts, live, apart
        first, last, shortest = min(prompts.classes), max(prompts.classes), min(prompts.classes, key=len)
        self.shared = shortest[: min(shared_length(first, last), len(shortest) - 1)]
        if not prompts.shared:
            self.shared = self.shared[: _constants(self.shared)]
        if apart:
            self.shared = ()
        self.constants = 0 if live else _constants(self.shared)
        self.learned = any(entry < 0 for entries in prompts.classes for entry in entries)
        self.head_lengths = [self._head(entries[len(self.shared) :]) for entries in prompts.classes]
        self.tails: Tiles = lay_out([self._tail(c) for c in range(len(prompts.classes))])
        heads = [self._rows(c, len(self.shared), self._start(c), 0) for c in self._headed()]
        self.heads: Tiles | None = lay_out(heads) if heads else None

    @property
    def tail_entries(self) -> int:
        """T, the number of entries computed per context: tails of all classes, counting common beginnings once."""
        return self.tails.distinct

    def prefix(self) -> tuple[list[Row], list[Row]]:
        """The shared entries before the first context vector, and those after it, including it."""
        rows = [Row(0, position, entry) for position, entry in enumerate(self.shared)]
        return rows[: self.constants], rows[self.constants :]

    def places(self, c: int) -> list[int]:
        """The row of each entry of a class's prompt, counting tails, then prefix, constants and heads."""
        prefix = len(self.tails.rows)
        constants = prefix + len(self.shared) - self.constants
        heads = constants + self.constants
        head = self.heads.path(self._headed().index(c)) if self.heads and self.head_lengths[c] else []
        front = [*range(constants, heads), *range(prefix, constants)]
        return [*front, *(heads + row for row in reversed(head)), *reversed(self.tails.path(c))]

    def seen_heads(self) -> tuple[list[list[int]], list[tuple[list[int], slice]]]:
        """The constant heads that tails attend to: for each tile, the head rows of its classes; for each class, its tail rows
        and its columns among the head rows.
        """
        columns: list[list[int]] = [[] for _ in range(self.tails.count)]
        seen = []
        for place, c in enumerate(self._headed()):
            tile = columns[self.tails.ends[c] // self.tails.size]
            start = len(tile)
            assert self.heads is not None  # as there are such classes
            tile += self.heads.path(place)
            seen.append((self.tails.path(c), slice(start, len(tile))))
        return columns, seen

    def _headed(self) -> list[int]:
        return [c for c, head in enumerate(self.head_lengths) if head]

    def _head(self, own: Sequence[int]) -> int:
        if self.live or not self.learned or self.constants < len(self.shared):
            return 0
        return min(_constants(own), len(own) - 1)

    def _start(self, c: int) -> int:
        return len(self.shared) + self.head_lengths[c]

    def _tail(self, c: int) -> list[Row]:
        """A class's tail. After a class-specific context or head, it belongs to the class; else equal beginnings share rows."""
        own = self.apart or not self.prompts.shared or self.head_lengths[c] > 0
        return self._rows(c, self._start(c), len(self.prompts.classes[c]), c if own else 0)

    def _rows(self, c: int, start: int, stop: int, owner: int) -> list[Row]:
        entries = self.prompts.classes[c]
        return [Row(owner, at, entries[at]) for at in range(start, stop)]


def _constants(entries: Sequence[int]) -> int:
    """Number of leading entries that are tokens."""
    return next((i for i, entry in enumerate(entries) if entry < 0), len(entries))
