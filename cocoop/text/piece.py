"""The rows of some tiles of classes with their prefix in one layer of the tower, and a method's changes to them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cocoop.text.changes import LowRank, TextChanges
from cocoop.text.layout import Layout


@dataclass(frozen=True)
class Piece:
    """Rows of tiles [first, last) and of the prefix for N contexts.

    Linear layers get plain rows (rows, D): the tails of all contexts, then the prefixes of all contexts.
    """

    layout: Layout
    changes: TextChanges
    batch: int
    first: int
    last: int

    @property
    def rows(self) -> slice:
        """The piece's rows in the layout."""
        size = self.layout.packing.tails.size
        return slice(self.first * size, self.last * size)

    def parted(self, rows: Tensor) -> list[Tensor]:
        """Splits plain rows into tails (N, T, …) and prefix (N, P, …)."""
        tokens = self.rows.stop - self.rows.start, self.layout.prefix
        parts = rows.split([self.batch * t for t in tokens])
        return [part.view(self.batch, t, rows.shape[-1]) for part, t in zip(parts, tokens, strict=True)]

    def put(self, layer: int, x: Tensor) -> Tensor:
        """A layer's input x (rows, D) with the method's vectors in their slots."""
        for what, vectors, weight in (
            ("prompts", self.changes.prompts.get(layer), self.changes.weight),
            ("inserted", self.changes.inserted.get(layer), 1.0),
        ):
            if vectors is None:
                continue
            tails, prefix = self.parted(x)
            in_tails, in_prefix = self.layout.slots[what]
            tails = in_tails.put(tails, vectors, self.rows.start, self.rows.stop, weight)
            x = joined(tails, in_prefix.put(prefix, vectors, 0, self.layout.prefix, weight))
        return x

    def low_rank(self, layer: int, matrices: Sequence[str], x: Tensor, eot: bool = False) -> Tensor | None:
        """The sum that low-rank terms add to the outputs of some matrices, concatenated: (rows, matrices * D), or None.

        x: inputs of the matrices, (rows, D); with `eot`, only of each class's EOT (N * classes, D).
        """
        terms = self.changes.low_rank.get(layer, {})
        if not terms.keys() & set(matrices):
            return None
        parts = [x.unflatten(0, (self.batch, -1))] if eot else self.parted(x)
        found = []
        for part in parts:
            added = [
                self._added(terms[name], part, eot) if name in terms else torch.zeros_like(part) for name in matrices
            ]
            found.append(torch.cat(added, -1))
        return joined(*found)

    def _added(self, term: LowRank, x: Tensor, eot: bool) -> Tensor:
        if term.dropout is not None and x.shape[1]:
            classes, positions = self.layout.where[:, self.rows]
            if eot:
                leaves = self.layout.leaves_of(self.first, self.last)
                classes, positions = classes[leaves], positions[leaves]
            factors = term.dropout(len(self.layout.packing.prompts.classes), self.layout.longest)
            x = x * factors[:, classes, positions].to(x.dtype)
        return term.scale * (x @ term.down.mT.to(x.dtype)) @ term.up.mT.to(x.dtype)

    def adapted(self, layer: int, normed: Tensor | None, out: Tensor, eot: bool = False) -> Tensor:
        """A layer's output (rows, D) after its adapter; with `eot`, only of each class's EOT."""
        adapter = self.changes.adapters.get(layer)
        if adapter is None:
            return out
        assert normed is not None  # an adapter ends the constancy of the first layer's input
        if eot:
            parts = [[t.unflatten(0, (self.batch, -1)) for t in (normed, out)]]
        else:
            parts = list(zip(self.parted(normed), self.parted(out), strict=True))
        return joined(*(adapter(*part) if part[0].shape[1] else part[1] for part in parts)).to(out.dtype)


def joined(*parts: Tensor) -> Tensor:
    """Concatenates tails (N, T, …) and prefix (N, P, …) to plain rows."""
    return torch.cat([part.flatten(0, 1) for part in parts])
