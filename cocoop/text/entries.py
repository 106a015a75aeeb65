"""Prompt entries as vectors: constant tokens with their positions, and slots for learned vectors."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from cocoop.text.layers import project
from cocoop.text.packing import Row
from cocoop.text.tower import TextTower


class Slots(nn.Module):
    """The rows, among T, of the learned vectors numbered [first, last)."""

    def __init__(self, rows: Sequence[Row], first: int, last: int, device: torch.device) -> None:
        super().__init__()
        numbers = [-row.entry - 1 if row.entry < 0 else -1 for row in rows]
        chosen = [first <= number < last for number in numbers]
        self.slots = [(i, row.owner, numbers[i] - first) for i, row in enumerate(rows) if chosen[i]]
        self.before = [0, *accumulate(chosen)]
        found = torch.tensor(self.slots, dtype=torch.long, device=device).reshape(-1, 3)
        self.register_buffer("places", found, persistent=False)  # (K, 3): row, class, vector

    def of(self, vectors: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor] | None:
        """Rows (k) in [start, stop), relative to start, and their vectors (N, k, D); None if there are none.

        vectors: (N, M, D), or (N, C, M, D) if class-specific.
        """
        first, last = self.before[start], self.before[stop]
        if first == last:
            return None
        row, owner, vector = self.places[first:last].unbind(1)
        if start:
            row = row - start
        if vectors.ndim == 4:
            return row, vectors[:, owner, vector]
        in_order = [number for *_, number in self.slots[first:last]] == list(range(vectors.shape[1]))
        return row, vectors if in_order else vectors[:, vector]

    def put(self, x: Tensor, vectors: Tensor, start: int, stop: int, weight: float = 1.0) -> Tensor:
        """x (N, t, D) of rows [start, stop), with weight * vectors + (1 - weight) * x in the slots."""
        found = self.of(vectors, start, stop)
        if found is None:
            return x
        row, placed = found
        if weight != 1:
            placed = weight * placed + (1 - weight) * x.index_select(1, row)
        return x.index_copy(1, row, placed.to(x.dtype))


class Entries(nn.Module):
    """T entries in a row. First-layer projections of constants do not depend on the context and are computed once."""

    def __init__(self, tower: TextTower, rows: Sequence[Row], n_ctx: int = 0) -> None:
        """Looks up the token embeddings; slots get placeholders that `fill` replaces."""
        super().__init__()
        self.tower = tower
        device = tower.positional_embedding.device
        tokens = torch.tensor([max(row.entry, 0) for row in rows], dtype=torch.long, device=device)
        at = torch.tensor([row.position for row in rows], dtype=torch.long, device=device)
        constant = tower.token_embedding[tokens] + tower.positional_embedding[at]
        projection = project(tower.blocks[0], constant, tower.facts.epsilon)
        self.slots = Slots(rows, 0, n_ctx, device)
        places = [rows[i].position for i, *_ in self.slots.slots]
        self.register_buffer(
            "added", tower.positional_embedding[places], persistent=False
        )  # (K, D), to learned vectors
        self.register_buffer("constant", constant, persistent=False)  # (T, D)
        self.register_buffer("projection", projection, persistent=False)  # (T, 3D)

    def __len__(self) -> int:
        return len(self.constant)

    def fill(self, context: Tensor, start: int = 0, stop: int | None = None) -> tuple[Tensor, Tensor]:
        """Vectors (N, t, D) and first-layer queries, keys and values (N, t, 3D) of rows [start, stop), including the context.

        context: (N, M, D), or (N, C, M, D) if class-specific.
        """
        stop = len(self) if stop is None else stop
        x, projected = (t[start:stop].expand(len(context), -1, -1) for t in (self.constant, self.projection))
        found = self.slots.of(context, start, stop)
        if found is None:
            return x, projected
        row, placed = found
        placed = placed + self.added[self.slots.before[start] : self.slots.before[stop]]  # (N, k, D)
        learned = project(self.tower.blocks[0], placed, self.tower.facts.epsilon)
        return x.to(placed.dtype).index_copy(1, row, placed), projected.to(learned.dtype).index_copy(1, row, learned)
