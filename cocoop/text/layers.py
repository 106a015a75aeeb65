"""One layer of the text tower, split into the operations that the exact prompt encoder shares.

Keys and values are passed as one tensor (…, tokens, 2D).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop.text.tiles import Tiles
from cocoop.text.tower import Block, TextTower


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Layer norm in the precision of its weights, as in CLIP's class for half precision (CLIP model.py:153)."""
    return F.layer_norm(x.to(weight.dtype), x.shape[-1:], weight, bias, epsilon).to(x.dtype)


def project(block: Block, x: Tensor, epsilon: float, parts: slice = slice(0, 3)) -> Tensor:
    """Queries, keys and values (…, 3D) of x (…, D), or only some `parts` of them (1:3 for keys and values)."""
    return project_normed(block, first_norm(block, x, epsilon), parts)


def first_norm(block: Block, x: Tensor, epsilon: float) -> Tensor:
    """The layer norm before attention."""
    return layer_norm(x, block.ln_1_weight, block.ln_1_bias, epsilon)


def project_normed(block: Block, normed: Tensor, parts: slice = slice(0, 3)) -> Tensor:
    """Like `project`, but for the result of `first_norm`."""
    width = normed.shape[-1]
    rows = slice(parts.start * width, parts.stop * width)
    return F.linear(normed.to(block.in_weight.dtype), block.in_weight[rows], block.in_bias[rows])


def attention_output(block: Block, mixed: Tensor) -> Tensor:
    """The output projection (…, D) of the result of attention (…, D)."""
    return F.linear(mixed, block.out_weight, block.out_bias)


def feed_forward(tower: TextTower, block: Block, x: Tensor) -> Tensor:
    """x (T, D) plus the MLP of its layer norm."""
    normed = layer_norm(x, block.ln_2_weight, block.ln_2_bias, tower.facts.epsilon)
    return x + tower.mlp(block, normed)


def tiled_attention(qkv: Tensor, before: Sequence[Tensor], mask: Tensor, heads: int) -> Tensor:
    """Attention of rows qkv (N, tiles * R, 3D) to preceding keys and values and to the rows of the same tile.

    before: keys and values, each (N or 1, tiles or 1, k, 2D).
    mask: (tiles, R, sum of k + R), from `additive`.
    Returns (N, tiles * R, D).
    """
    n, (tiles, size, keys), width = len(qkv), mask.shape, qkv.shape[-1] // 3
    query, own = qkv.unflatten(1, (tiles, size)).split([width, 2 * width], -1)
    seen = torch.cat([*(t.to(own.dtype).expand(n, tiles, -1, -1) for t in before), own], 2).flatten(0, 1)
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query.flatten(0, 1), *seen.chunk(2, -1)))
    mask = mask.to(own.dtype).expand(n, -1, -1, -1).reshape(n * tiles, 1, size, keys)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(n, tiles * size, width)


def additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """An additive attention mask: 0 where a key is visible, else -inf. (Attention would convert booleans in every call.)"""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, -torch.inf)


def own_rows_mask(tiles: Tiles, device: torch.device) -> Tensor:
    """(tiles, R, R) booleans: a row attends to itself and to the preceding rows of its sequence."""
    mask = torch.eye(tiles.size, dtype=torch.bool).repeat(tiles.count, 1)
    for row, parent in enumerate(tiles.parents):
        if parent >= 0:
            mask[row] |= mask[parent]
    return mask.view(tiles.count, tiles.size, tiles.size).to(device)


def causal_mask(tokens: int, past: int, device: torch.device) -> Tensor:
    """(1, tokens, past + tokens) booleans: the keys that each of the last `tokens` queries attends to."""
    return torch.ones(1, tokens, past + tokens, dtype=torch.bool, device=device).tril(past)
