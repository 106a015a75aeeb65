"""One layer of the text tower, split into the operations that the exact prompt encoder shares."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop.backbone.products import linear
from cocoop.text.tiles import Tiles
from cocoop.text.tower import Block, TextTower


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Layer norm in the precision of its weights, as in CLIP's class for half precision (CLIP model.py:153)."""
    return F.layer_norm(x.to(weight.dtype), x.shape[-1:], weight, bias, epsilon).to(x.dtype)


def project(block: Block, x: Tensor, epsilon: float) -> Tensor:
    """Queries, keys and values (…, 3D) of x (…, D)."""
    return project_normed(block, first_norm(block, x, epsilon))


def first_norm(block: Block, x: Tensor, epsilon: float) -> Tensor:
    """The layer norm before attention."""
    return layer_norm(x, block.ln_1_weight, block.ln_1_bias, epsilon)


def project_normed(block: Block, normed: Tensor) -> Tensor:
    """Like `project`, but for the result of `first_norm`."""
    return linear(normed.to(block.in_weight.dtype), block.in_weight, block.in_bias)


def attention_output(block: Block, mixed: Tensor) -> Tensor:
    """The output projection (…, D) of the result of attention (…, D)."""
    return linear(mixed, block.out_weight, block.out_bias)


def feed_forward(tower: TextTower, block: Block, x: Tensor) -> Tensor:
    """x (T, D) plus the MLP of its layer norm."""
    normed = layer_norm(x, block.ln_2_weight, block.ln_2_bias, tower.facts.epsilon)
    return x + tower.mlp(block, normed)


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
