"""The rows of some tiles of classes with their prefix in one layer of the tower, and a method's changes to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from cocoop.text.changes import LowRank, TextChanges
from cocoop.text.layout import Layout
from cocoop.text.tiling import Chosen, FromHeads, attend, in_tiles


@dataclass(frozen=True)
class Piece:
    """Rows of tiles [first, last) and of the prefix for N contexts.

    Linear layers get plain rows (N * rows, D): for each context its tails, then its prefix.
    """

    layout: Layout
    changes: TextChanges
    batch: int
    first: int
    last: int

    @cached_property
    def ranges(self) -> list[tuple[int, int]]:
        """The piece's rows in the layout; a single range if they are all of it."""
        size, tails, prefix = self.layout.tiling.own, self.layout.tiles * self.layout.tiling.own, self.layout.prefix
        found = [(self.first * size, self.last * size), (tails, tails + prefix)]
        return [(0, tails + prefix)] if self.last - self.first == self.layout.tiles else found

    @cached_property
    def leaves(self) -> Tensor:
        """The last row of each class, relative to the piece."""
        return self.layout.leaves(self.first, self.last)[0]

    @cached_property
    def mask(self) -> Tensor:
        """(N * tiles or 1, 1, S, S)."""
        mask = self.layout.mask[self.first : self.last, None]
        return mask if len(mask) == 1 else mask.repeat(self.batch, 1, 1, 1) if self.batch > 1 else mask

    def by_context(self, rows: Tensor) -> Tensor:
        """Plain rows as (N, rows, …)."""
        return rows.unflatten(0, (self.batch, -1))

    def cut(self, rows: Tensor) -> Tensor:
        """The piece's rows (N, rows, …) of all rows (N, T + P, …) of the layout."""
        return joined([rows[:, start:stop] for start, stop in self.ranges])

    def attend(self, layer: int, qkv: Tensor, leaves: bool = False) -> Tensor:
        """Attention: queries, keys and values (N * rows, 3D) to (N * rows, D), or (N * classes, D) with `leaves`."""
        tiling = self.layout.tiling._replace(tiles=self.last - self.first)
        before = self.layout.before(layer, self.first, self.last)
        mixed = attend(self.by_context(qkv), before, self.mask, tiling, self.layout.tower.facts.heads)
        if leaves:
            places = self.layout.leaves(self.first, self.last)[1]
            return Chosen.apply(in_tiles(mixed, tiling).flatten(1, 2), places).flatten(0, 1)
        return FromHeads.apply(mixed, self.layout.zero, tiling).flatten(0, 1)

    def put(self, layer: int, x: Tensor) -> Tensor:
        """A layer's input x (N * rows, D) with the method's vectors in their slots."""
        for what, vectors, weight in (
            ("prompts", self.changes.prompts.get(layer), self.changes.weight),
            ("inserted", self.changes.inserted.get(layer), 1.0),
        ):
            if vectors is not None:
                parts = self.by_context(x).split([stop - start for start, stop in self.ranges], 1)
                slots = self.layout.slots[what]
                put = [slots.put(t, vectors, *r, weight) for t, r in zip(parts, self.ranges, strict=True)]
                x = joined(put).flatten(0, 1)
        return x

    def low_rank(self, layer: int, matrices: Sequence[str], x: Tensor, leaves: bool = False) -> Tensor | None:
        """The sum that low-rank terms add to the outputs of some matrices, concatenated: (N * rows, matrices * D), or None.

        x: inputs of the matrices, (N * rows, D); with `leaves`, (N * classes, D).
        """
        terms = self.changes.low_rank.get(layer, {})
        if not terms.keys() & set(matrices):
            return None
        rows = self.by_context(x)
        added = [
            self._added(terms[name], rows, leaves) if name in terms else torch.zeros_like(rows) for name in matrices
        ]
        return torch.cat(added, -1).flatten(0, 1)

    def _added(self, term: LowRank, x: Tensor, leaves: bool) -> Tensor:
        if term.dropout is not None:
            where = self.cut(self.layout.where)
            classes, positions = where[:, self.leaves] if leaves else where
            factors = term.dropout(len(self.layout.packing.prompts.classes), self.layout.longest)
            x = x * factors[:, classes, positions].to(x.dtype)
        return term.scale * (x @ term.down.mT.to(x.dtype)) @ term.up.mT.to(x.dtype)

    def adapted(self, layer: int, normed: Tensor, out: Tensor) -> Tensor:
        """A layer's output (N * rows, D) after its adapter. normed: the layer's input after its first layer norm."""
        adapter = self.changes.adapters.get(layer)
        if adapter is None:
            return out
        return adapter(self.by_context(normed), self.by_context(out)).flatten(0, 1).to(out.dtype)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Concatenates rows (N, …)."""
    return parts[0] if len(parts) == 1 else torch.cat([*parts], 1)
