"""Prompt entries as vectors: constant tokens at their positions, and the places where context vectors go."""

import torch
from torch import Tensor, nn

from cocoop.clip.layers import project
from cocoop.clip.packing import Row
from cocoop.clip.text_tower import TextTower


class Entries(nn.Module):
    """T entries one behind the other. Their first-layer projections are computed once: no context changes those of constants."""

    def __init__(self, constant: Tensor, projection: Tensor, slots: Tensor, tower: TextTower) -> None:
        super().__init__()
        self.tower = tower
        self.register_buffer("constant", constant, persistent=False)  # (T, D)
        self.register_buffer("projection", projection, persistent=False)  # (T, 3D)
        self.register_buffer("slots", slots, persistent=False)  # (K, 4): row, class, position, context vector

    @classmethod
    def of(cls, tower: TextTower, rows: list[Row]) -> "Entries":
        """Looks the rows' tokens up; a slot's constant is a stand-in that `fill` replaces."""
        device = tower.positional_embedding.device
        tokens = torch.tensor([max(row.entry, 0) for row in rows], dtype=torch.long, device=device)
        at = torch.tensor([row.position for row in rows], dtype=torch.long, device=device)
        slots = [(i, row.owner, row.position, -row.entry - 1) for i, row in enumerate(rows) if row.entry < 0]
        constant = tower.token_embedding[tokens] + tower.positional_embedding[at]
        projection = project(tower.blocks[0], constant, tower.facts.epsilon)
        return cls(constant, projection, torch.tensor(slots, dtype=torch.long, device=device).reshape(-1, 4), tower)

    def __len__(self) -> int:
        return len(self.constant)

    def part(self, rows: slice) -> "Entries":
        """The entries of a range of rows."""
        inside = (self.slots[:, 0] >= rows.start) & (self.slots[:, 0] < rows.stop)
        slots = self.slots[inside] - torch.tensor([rows.start, 0, 0, 0], device=self.slots.device)
        return Entries(self.constant[rows], self.projection[rows], slots, self.tower)

    def fill(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (N, T, D) and first-layer queries, keys and values (N, T, 3D), with the context in its places.

        context: (N, M, D), or (N, C, M, D) when every class has its own.
        """
        n = context.shape[0]
        x, projected = self.constant.expand(n, -1, -1), self.projection.expand(n, -1, -1)
        if not len(self.slots):
            return x, projected
        row, owner, position, vector = self.slots.unbind(1)
        placed = context[:, vector] if context.ndim == 3 else context[:, owner, vector]
        placed = placed + self.tower.positional_embedding[position]  # (N, K, D)
        learned = project(self.tower.blocks[0], placed, self.tower.facts.epsilon)
        return x.to(placed.dtype).index_copy(1, row, placed), projected.to(learned.dtype).index_copy(1, row, learned)
