"""Prompt entries as vectors: constant tokens at their positions, and the places where context vectors go."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from cocoop.text.layers import project
from cocoop.text.packing import Row
from cocoop.text.tower import TextTower


class Entries(nn.Module):
    """T entries one behind the other. Their first-layer projections are computed once: no context changes those of constants."""

    def __init__(self, tower: TextTower, rows: Sequence[Row]) -> None:
        """Looks the rows' tokens up; a slot's constant is a stand-in that `fill` replaces."""
        super().__init__()
        self.tower = tower
        device = tower.positional_embedding.device
        tokens = torch.tensor([max(row.entry, 0) for row in rows], dtype=torch.long, device=device)
        at = torch.tensor([row.position for row in rows], dtype=torch.long, device=device)
        slots = [(i, row.owner, row.position, -row.entry - 1) for i, row in enumerate(rows) if row.entry < 0]
        constant = tower.token_embedding[tokens] + tower.positional_embedding[at]
        projection = project(tower.blocks[0], constant, tower.facts.epsilon)
        self.slots_before = [0, *accumulate(row.entry < 0 for row in rows)]
        self.register_buffer("constant", constant, persistent=False)  # (T, D)
        self.register_buffer("projection", projection, persistent=False)  # (T, 3D)
        slots = torch.tensor(slots, dtype=torch.long, device=device).reshape(-1, 4)
        self.register_buffer("slots", slots, persistent=False)  # (K, 4): row, class, position, context vector

    def __len__(self) -> int:
        return len(self.constant)

    def fill(self, context: Tensor, start: int = 0, stop: int | None = None) -> tuple[Tensor, Tensor]:
        """Vectors (N, t, D) and first-layer queries, keys and values (N, t, 3D) of rows [start, stop), the context in its places.

        context: (N, M, D), or (N, C, M, D) when every class has its own.
        """
        stop = len(self) if stop is None else stop
        x, projected = (t[start:stop].expand(len(context), -1, -1) for t in (self.constant, self.projection))
        first, last = self.slots_before[start], self.slots_before[stop]
        if first == last:
            return x, projected
        row, owner, position, vector = self.slots[first:last].unbind(1)
        placed = context[:, vector] if context.ndim == 3 else context[:, owner, vector]
        placed = placed + self.tower.positional_embedding[position]  # (N, K, D)
        learned = project(self.tower.blocks[0], placed, self.tower.facts.epsilon)
        row = row - start
        return x.to(placed.dtype).index_copy(1, row, placed), projected.to(learned.dtype).index_copy(1, row, learned)
