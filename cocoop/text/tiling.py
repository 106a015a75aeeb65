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

    @property
    def repeated(self) -> bool:
        """Whether tiles have copies of shared rows."""
        return self.tiles > 1 and self.shared > 0

    def parts(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The own rows (N, tiles, own, ...) and the shared ones (N, 1, shared, ...) of all rows."""
        own, shared = rows.split([self.tiles * self.own, self.shared], 1)
        return own.unflatten(1, (self.tiles, self.own)), shared[:, None]


def attend(rows: Tensor, before: Sequence[Tensor], mask: Tensor, tiling: Tiling, heads: int) -> Tensor:
    """Attention between the rows of each tile: queries, keys and values (N, rows, 3D) to (N * tiles, heads, S, D / heads).

    S is before + own + shared. before: queries, keys and values of constant rows, each (1, tiles or 1, k, 3D).
    mask: additive, (N * tiles or 1, 1, S, S).
    """
    q, k, v = ToHeads.apply(rows, before, tiling, heads)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(q.dtype))


def in_tiles(by_head: Tensor, tiling: Tiling) -> Tensor:
    """The result of attention, (N * tiles, heads, S, D / heads), as rows of tiles, (N, tiles, S, D)."""
    return by_head.transpose(1, 2).flatten(2).unflatten(0, (-1, tiling.tiles))


class ToHeads(Function):
    """Queries, keys and values of rows (N, rows, 3D) in tiles: each (N * tiles, heads, S, D / heads)."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, before: Sequence[Tensor], tiling: Tiling, heads: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.tiling = tiling
        parts = tiling.parts(rows) if tiling.tiles > 1 else (rows[:, None],)
        tiled = parts[0]
        if before or tiling.repeated:
            tiled = torch.cat([t.to(rows.dtype).expand(len(rows), tiling.tiles, -1, -1) for t in (*before, *parts)], 2)
        q, k, v = tiled.flatten(0, 1).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    @staticmethod
    def backward(ctx: Any, *by_head: Tensor) -> tuple[Tensor, None, None, None]:
        tiling = ctx.tiling
        gradients = [in_tiles(each, tiling)[:, :, tiling.before :] for each in by_head]
        if not tiling.repeated:
            return torch.cat(gradients, -1).flatten(1, 2), None, None, None
        n, tiles, _, width = gradients[0].shape
        rows = gradients[0].new_empty(n, tiles * tiling.own + tiling.shared, 3 * width)
        own, shared = zip(*(each.split([tiling.own, tiling.shared], 2) for each in gradients), strict=True)
        torch.cat(own, -1, out=tiling.parts(rows)[0])
        torch.sum(torch.cat(shared, -1), 1, out=rows[:, tiles * tiling.own :])
        return rows, None, None, None


class FromHeads(Function):
    """The rows (N, rows, D) of the result of `attend`; shared ones come from the first tile."""

    @staticmethod
    def forward(ctx: Any, by_head: Tensor, zero: Tensor, tiling: Tiling) -> Tensor:
        """zero: a zero, which need not be created in each backward pass."""
        ctx.tiling, ctx.zero, ctx.heads = tiling, zero.to(by_head.dtype), by_head.shape[1]
        tiled = in_tiles(by_head, tiling)[:, :, tiling.before :]
        if not tiling.repeated:
            return tiled.flatten(1, 2)
        own, shared = tiled.split([tiling.own, tiling.shared], 2)
        return torch.cat([*own.unbind(1), shared[:, 0]], 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        tiling, (n, _, width) = ctx.tiling, gradient.shape
        zeros = ctx.zero.expand(n, tiling.before + tiling.shared, width)
        front = [zeros[:, : tiling.before]] if tiling.before else []
        if tiling.tiles == 1:
            found = [*front, gradient]
        else:
            own, shared = tiling.parts(gradient)
            first, *others = own.unbind(1)
            found = [*front, first, shared[:, 0]]
            for rows in others:
                found += [*front, rows, zeros[:, tiling.before :]]
        whole = torch.cat(found, 1) if len(found) > 1 else gradient
        return whole.reshape(n * tiling.tiles, -1, ctx.heads, width // ctx.heads).transpose(1, 2), None, None


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
