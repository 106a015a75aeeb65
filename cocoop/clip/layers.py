"""One layer of the text tower, taken apart into the pieces the exact encoder shares."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop.clip.text_tower import Block, TextTower


class KeyValue(NamedTuple):
    """Keys and values of some tokens, each (N, tokens, D); N may be 1 for what no context changes."""

    key: Tensor
    value: Tensor


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Layer norm in the precision of its weights, as CLIP's own class does in half precision (CLIP model.py:153)."""
    return F.layer_norm(x.to(weight.dtype), x.shape[-1:], weight, bias, epsilon).to(x.dtype)


def project(block: Block, x: Tensor, epsilon: float, parts: slice = slice(0, 3)) -> Tensor:
    """Queries, keys and values (…, 3D) of x (…, D), or the `parts` of them that are needed (1:3 for keys and values)."""
    width = x.shape[-1]
    rows = slice(parts.start * width, parts.stop * width)
    normed = layer_norm(x, block.ln_1_weight, block.ln_1_bias, epsilon)
    return F.linear(normed, block.in_weight[rows], block.in_bias[rows])


def feed_forward(tower: TextTower, block: Block, x: Tensor) -> Tensor:
    """x (…, D) plus the MLP of its layer norm."""
    normed = layer_norm(x, block.ln_2_weight, block.ln_2_bias, tower.facts.epsilon)
    hidden = tower.activate(F.linear(normed, block.fc_weight, block.fc_bias))
    return x + F.linear(hidden, block.proj_weight, block.proj_bias)


def behind(before: KeyValue | None, own: KeyValue) -> KeyValue:
    """Keys and values of earlier tokens (N or 1, …) followed by these (N, …)."""
    if before is None:
        return own
    n, dtype = own.key.shape[0], own.key.dtype
    return KeyValue(*(torch.cat([past.expand(n, -1, -1).to(dtype), now], 1) for past, now in zip(before, own, strict=True)))


def causal_attention(query: Tensor, seen: KeyValue, heads: int) -> Tensor:
    """Attention of the last tokens (N, T, D) of a sequence, causally, to all of it: `seen` is (N, past + T, D)."""
    tokens = query.shape[1]
    mask = causal_mask(tokens, seen.key.shape[1] - tokens, query.device) if tokens > 1 else None
    q, k, v = (_split(t, heads) for t in (query, *seen))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


def causal_mask(tokens: int, past: int, device: torch.device) -> Tensor:
    """(tokens, past + tokens) booleans: which keys each of the last `tokens` queries may see."""
    return torch.ones(tokens, past + tokens, dtype=torch.bool, device=device).tril(past)


def grouped_attention(
    query: Tensor, own: KeyValue, shared: KeyValue, head: KeyValue | None, classes: int, heads: int
) -> Tensor:
    """Attention of tails of equal length: to the shared prefix, to the class's constant head, and causally to itself.

    query: (N, Cg * Lq, D), with Lq the tail length, or 1 when only EOT asks; own: (N, Cg * L, D); shared: (N or 1, P, D);
    head: (1, Cg * H, D). Returns (N, Cg * Lq, D).
    """
    n = query.shape[0]
    q = _by_class(query, n, classes, heads)
    parts = [KeyValue(*(_spread(t, n, classes, heads) for t in shared))]
    if head is not None:
        parts.append(KeyValue(*(_by_class(t.expand(n, -1, -1), n, classes, heads) for t in head)))
    parts.append(KeyValue(*(_by_class(t, n, classes, heads) for t in own)))
    key, value = (torch.cat([t.to(q.dtype) for t in tensors], 2) for tensors in zip(*parts, strict=True))
    mask = causal_mask(q.shape[2], key.shape[2] - q.shape[2], q.device) if q.shape[2] > 1 else None
    mixed = F.scaled_dot_product_attention(q, key, value, attn_mask=mask)
    return mixed.transpose(1, 2).reshape(n, classes * q.shape[2], -1)


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _by_class(x: Tensor, n: int, c: int, heads: int) -> Tensor:
    """(N, Cg * L, D) -> (N * Cg, heads, L, D / heads)."""
    return _split(x.reshape(n * c, -1, x.shape[-1]), heads)


def _spread(x: Tensor, n: int, c: int, heads: int) -> Tensor:
    """(N or 1, P, D) -> (N * Cg, heads, P, D / heads), the same for all classes."""
    p, width = x.shape[1:]
    return _split(x[:, None].expand(n, c, p, width).reshape(n * c, p, width), heads)
