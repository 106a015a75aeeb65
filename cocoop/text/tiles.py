"""Arranges sequences in rows, where common beginnings share rows, and rows in tiles of equal size.

A causal tower computes the same values for equal beginnings of sequences, so a list of sequences needs one row for each
node of their trie. Each sequence is in a single tile, where a row attends to its ancestors and itself: attention is one dense
masked product over all tiles. Sequences are distributed over tiles such that nearly all rows are used.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any

SMALLEST, LARGEST = 24, 48  # rows per tile; in this range attention is fastest (measured on a CPU)
Path = Sequence[Hashable]
Unit = list[int]
"""Indices of sequences with a common beginning, which are placed in one tile."""


@dataclass(frozen=True)
class Tiles:
    """The arrangement of sequences.

    Attributes:
        size: rows per tile.
        rows: the item in each row, tile by tile.
        parents: for each row, the preceding row of its sequence; -1 if there is none.
        ends: the last row of each sequence.
        distinct: number of rows that would suffice if sequences could share beginnings across tiles.
        padding: number of rows that belong to no sequence.
    """

    size: int
    rows: tuple[Any, ...]
    parents: tuple[int, ...]
    ends: tuple[int, ...]
    distinct: int
    padding: int

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.rows) // self.size

    @cached_property
    def leaves(self) -> tuple[int, ...]:
        """Last rows of sequences, ascending; equal sequences share one."""
        return tuple(sorted(set(self.ends)))

    def path(self, sequence: int) -> list[int]:
        """The rows of a sequence in reverse order."""
        row, found = self.ends[sequence], []
        while row >= 0:
            found.append(row)
            row = self.parents[row]
        return found


def lay_out(sequences: Sequence[Path]) -> Tiles:
    """Distributes sequences of comparable items over tiles, with as few rows as possible."""
    order = sorted(range(len(sequences)), key=lambda i: tuple(sequences[i]))
    longest, all_rows = max(map(len, sequences)), sum(_new_items(sequences, order))
    if all_rows <= LARGEST:
        return _placed(sequences, [list(_units(sequences, order, all_rows))], all_rows, all_rows)
    sizes = range(max(SMALLEST, longest), max(LARGEST, longest) + 1)
    packed = ((_packed(list(_units(sequences, order, size)), size), size) for size in sizes)
    best, size = min(packed, key=lambda found: (len(found[0]) * found[1], found[1]))
    return _placed(sequences, best, size, all_rows)


def shared_length(a: Path, b: Path) -> int:
    """Length of the common beginning of two sequences."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def _new_items(sequences: Sequence[Path], order: Sequence[int]) -> Iterator[int]:
    """For each sequence in sorted order, the number of items after the common beginning with the previous one."""
    before: Path = ()
    for i in order:
        yield len(sequences[i]) - shared_length(before, sequences[i])
        before = sequences[i]


def _units(sequences: Sequence[Path], order: Sequence[int], size: int) -> Iterator[tuple[int, Unit]]:
    """Groups of sequences with a common beginning, with the number of rows that each needs (at most `size`)."""
    unit: Unit = []
    rows = 0
    for i in order:
        shared = shared_length(sequences[unit[-1]], sequences[i]) if unit else 0
        if unit and (not shared or rows + len(sequences[i]) - shared > size):
            yield rows, unit
            unit, rows, shared = [], 0, 0
        unit.append(i)
        rows += len(sequences[i]) - shared
    yield rows, unit


def _packed(units: list[tuple[int, Unit]], size: int) -> list[list[tuple[int, Unit]]]:
    """Bin packing: first fit, longest first."""
    tiles: list[list[tuple[int, Unit]]] = []
    free: list[int] = []
    for rows, unit in sorted(units, key=lambda found: -found[0]):
        place = next((tile for tile, room in enumerate(free) if room >= rows), len(tiles))
        if place == len(tiles):
            tiles.append([])
            free.append(size)
        tiles[place].append((rows, unit))
        free[place] -= rows
    return tiles


def _placed(sequences: Sequence[Path], tiles: list[list[tuple[int, Unit]]], size: int, distinct: int) -> Tiles:
    rows: list[Hashable] = []
    parents: list[int] = []
    ends, padding = [0] * len(sequences), 0
    for tile in tiles:
        for _, unit in tile:
            path: list[int] = []
            before: Path = ()
            for i in unit:
                path = path[: shared_length(before, sequences[i])]
                before = sequences[i]
                for item in before[len(path) :]:
                    parents.append(path[-1] if path else -1)
                    path.append(len(rows))
                    rows.append(item)
                ends[i] = path[-1]
        empty = -len(rows) % size
        rows += [sequences[0][-1]] * empty
        parents += [-1] * empty
        padding += empty
    return Tiles(size, tuple(rows), tuple(parents), tuple(ends), distinct, padding)
