"""Attention of rows in tiles. Each tile gets a copy of the rows that it shares with others, so that one call computes all.

torch would record many small operations for the copies between rows and tiles; here, each copy is one operation, and so is each
in the backward pass.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function


class Tiling(NamedTuple):
    """The numbers of rows (N, tiles * own + shared) in tiles (N, tiles, before + own + shared).

    Attributes:
        tiles: number of tiles.
        before: constant rows in front of each tile's rows.
        own: rows of each tile.
        shared: rows that all tiles share.
    """

    tiles: int
    before: int
    own: int
    shared: int

    def parts(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The own rows (N, tiles, own, ...) and the shared ones (N, 1, shared, ...) of all rows."""
        own, shared = rows.split([self.tiles * self.own, self.shared], 1)
        return own.unflatten(1, (self.tiles, self.own)), shared[:, None]


def attend(rows: Tensor, before: Sequence[Tensor], mask: Tensor, tiling: Tiling, heads: int) -> Tensor:
    """Attention between the rows of each tile: queries, keys and values (N, rows, 3D) to (N, tiles, before + own + shared, D).

    before: queries, keys and values of constant rows, each (1, tiles or 1, k, 3D).
    mask: additive, (N * tiles or 1, 1, S, S) for S rows per tile.
    """
    tiled = ToTiles.apply(rows, before, tiling) if before or tiling.shared else tiling.parts(rows)[0]
    width = rows.shape[-1] // 3
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in tiled.flatten(0, 1).split(width, -1))
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(tiled.dtype))
    return mixed.transpose(1, 2).reshape(*tiled.shape[:3], width)


class ToTiles(Function):
    """Rows (N, rows, ...) in tiles, behind constant rows (1, tiles or 1, k, ...)."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, before: Sequence[Tensor], tiling: Tiling) -> Tensor:
        ctx.tiling = tiling
        parts = [*before, *(tiling.parts(rows) if tiling.tiles > 1 else [rows[:, None]])]
        return torch.cat([t.to(rows.dtype).expand(len(rows), tiling.tiles, -1, -1) for t in parts], 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        tiling = ctx.tiling
        if tiling.tiles == 1:
            return gradient[:, 0, tiling.before :], None, None
        _, own, shared = gradient.split([tiling.before, tiling.own, tiling.shared], 2)
        return torch.cat([*own.unbind(1), shared.sum(1)], 1), None, None


class FromTiles(Function):
    """The rows (N, rows, ...) of tiles; shared ones come from the first tile."""

    @staticmethod
    def forward(ctx: Any, tiled: Tensor, zero: Tensor, tiling: Tiling) -> Tensor:
        """zero: a zero, which need not be created in each backward pass."""
        ctx.tiling, ctx.zero = tiling, zero.to(tiled.dtype)
        if tiling.tiles == 1:
            return tiled[:, 0, tiling.before :]
        _, own, shared = tiled.split([tiling.before, tiling.own, tiling.shared], 2)
        return torch.cat([*own.unbind(1), shared[:, 0]], 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        tiling, (n, _, width) = ctx.tiling, gradient.shape
        zeros = ctx.zero.expand(n, tiling.before + tiling.shared, width)
        if tiling.tiles == 1:
            return torch.cat([zeros[:, : tiling.before], gradient], 1)[:, None], None, None
        own, shared = tiling.parts(gradient)
        first, *others = own.unbind(1)
        found = [zeros[:, : tiling.before], first, shared[:, 0]]
        for rows in others:
            found += [zeros[:, : tiling.before], rows, zeros[:, tiling.before :]]
        return torch.cat(found, 1).unflatten(1, (tiling.tiles, -1)), None, None


class Chosen(Function):
    """Some rows (N, k, ...) of all rows (N, T, ...), without repetition."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, chosen: Tensor) -> Tensor:
        """chosen: indices (k,)."""
        ctx.chosen, ctx.shape = chosen, rows.shape
        return rows.index_select(1, chosen)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.new_zeros(ctx.shape).index_copy_(1, ctx.chosen, gradient), None
