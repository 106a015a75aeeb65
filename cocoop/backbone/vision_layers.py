"""One layer of the image tower for a sequence in pieces, with a method's changes.

A piece is (S or 1, B or 1, T, D): patches are often equal for all seeds S, and learned tokens for all images B. Operations on
single tokens run on each piece separately; only attention needs the complete sequence.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop.backbone.vision_changes import Adapter, LowRank
from cocoop.backbone.vision_tower import Affine, Layer

QUICK = 1.702  # QuickGELU is x * sigmoid(1.702 x)
Deltas = Mapping[str, LowRank]


def run(
    layer: Layer, pieces: Sequence[Tensor], rows: Sequence[int], deltas: Deltas, adapter: Adapter | None
) -> tuple[Tensor, ...]:
    """The layer's output for the leading `rows` tokens of each piece; all tokens give keys and values.

    Returns pieces (S or 1, B, rows, D).
    """
    if any(delta.dropout for delta in deltas.values()):  # each seed and image has a separate mask
        pieces = _alike(pieces, max(len(delta.down) for delta in deltas.values()))
    normed = [layer.norm_1(piece) for piece in pieces]
    asking = [x[..., :count, :] for x, count in zip(normed, rows, strict=True)]
    queries, keys, values = zip(*(_qkv(layer, x, q, deltas) for x, q in zip(normed, asking, strict=True)), strict=True)
    seen = attention(joined(queries), joined(keys), joined(values), layer.heads)
    x = joined([piece[..., :count, :] for piece, count in zip(pieces, rows, strict=True)])
    x = x + _scaled(changed(layer.out, seen, deltas.get("o")), layer.scale_1)
    x = x + _scaled(_mlp(layer, layer.norm_2(x), deltas), layer.scale_2)
    if adapter:
        x = x + joined([adapter(a) for a in asking if a.shape[-2]]).to(x.dtype)
    return x.split(list(rows), 2)


def joined(pieces: Sequence[Tensor]) -> Tensor:
    """Concatenates pieces (S or 1, B or 1, T, D) to one sequence (S or 1, B or 1, sum of T, D)."""
    return torch.cat(_alike(pieces), 2) if len(pieces) > 1 else pieces[0]


def attention(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    """queries (S or 1, B, Q, D), keys and values (S or 1, B, T, D) -> (S or 1, B, Q, D)."""
    queries, keys, values = _alike([queries, keys, values])
    q, k, v = (x.flatten(0, 1).unflatten(-1, (heads, -1)).transpose(1, 2) for x in (queries, keys, values))
    seen = F.scaled_dot_product_attention(q, k, v)  # (S * B, heads, Q, D / heads)
    return seen.transpose(1, 2).flatten(2).unflatten(0, queries.shape[:2])


def changed(matrix: Affine, x: Tensor, delta: LowRank | None) -> Tensor:
    """Applies a frozen matrix and its low-rank term, if any, to x (S or 1, B or 1, T, in)."""
    return matrix(x) if delta is None else matrix(x) + low_rank(delta, x)


def low_rank(delta: LowRank, x: Tensor) -> Tensor:
    """x (S or 1, B or 1, T, in) -> (S, B or 1, T, out)."""
    x = x.expand(len(delta.down), -1, -1, -1)
    if delta.dropout:
        x = delta.dropout(x)
    inner = torch.bmm(x.flatten(1, 2), delta.down.to(x.dtype).mT)  # (S, B * T, r)
    return (torch.bmm(inner, delta.up.to(inner.dtype).mT) * delta.scale).unflatten(1, x.shape[1:3])


def _qkv(layer: Layer, x: Tensor, asking: Tensor, deltas: Deltas) -> tuple[Tensor, Tensor, Tensor]:
    """Queries of the tokens `asking`, keys and values of all tokens."""
    if asking.shape == x.shape:
        queries, keys, values = layer.qkv(x).chunk(3, -1)
    else:
        queries = layer.qkv.part(0, 3)(asking)
        keys, values = (layer.qkv.part(index, 3)(x) for index in (1, 2))
    found = {"q": (queries, asking), "k": (keys, x), "v": (values, x)}
    q, k, v = (y + low_rank(deltas[name], of) if name in deltas else y for name, (y, of) in found.items())
    return q, k, v


def _mlp(layer: Layer, x: Tensor, deltas: Deltas) -> Tensor:
    """The MLP of x (S or 1, B, T, D). QuickGELU is silu(1.702 x) / 1.702, a fused function that stores only one tensor."""
    if not layer.quick:
        return changed(layer.proj, layer.activation(changed(layer.fc, x, deltas.get("fc"))), deltas.get("proj"))
    hidden = _times(layer.fc, x, QUICK, QUICK)
    if "fc" in deltas:
        hidden = hidden + QUICK * low_rank(deltas["fc"], x)
    hidden = F.silu(hidden)
    y = _times(layer.proj, hidden, 1 / QUICK, 1.0)
    return y + low_rank(deltas["proj"], hidden / QUICK) if "proj" in deltas else y


def _times(matrix: Affine, x: Tensor, factor: float, bias_factor: float) -> Tensor:
    """factor * (x @ weight) + bias_factor * bias as one product."""
    assert matrix.bias is not None  # CLIP's MLPs have one
    flat = torch.addmm(matrix.bias, x.flatten(0, -2), matrix.weight.T, beta=bias_factor, alpha=factor)
    return flat.unflatten(0, x.shape[:-1])


def _scaled(x: Tensor, scale: Tensor | None) -> Tensor:
    return x if scale is None else x * scale


def _alike(pieces: Sequence[Tensor], seeds: int = 1) -> list[Tensor]:
    """Views of the pieces with the same first dimensions S and B."""
    s, b = torch.broadcast_shapes((seeds, 1), *(piece.shape[:2] for piece in pieces))
    return [piece.expand(s, b, -1, -1) for piece in pieces]
