"""Applies a method's changes to open_clip's text tower with hooks on its blocks, with all tokens of every prompt."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.backbone.vision_reading import is_plain
from cocoop.errors import UserError
from cocoop.text.changes import LowRank, TextChanges


@dataclass(frozen=True)
class Hooks:
    """Changes for one pass of N x C prompts (grouped by context) through a text tower.

    Attributes:
        changes: the method's changes.
        batch: N, number of contexts.
        classes: (first, last, all): the classes [first, last) of this pass and the number of all classes.
        at: positions (C, M) of the context vectors.
        front: number of tokens before the inserted ones.
        longest: tokens of the longest prompt.
    """

    changes: TextChanges
    batch: int
    classes: tuple[int, int, int]
    at: Tensor
    front: int
    longest: int

    @contextmanager
    def on(self, text: nn.Module) -> Iterator[None]:
        """A context manager that applies the changes to the tower."""
        blocks, causal = blocks_of(text), text.attn_mask is not None
        with ExitStack() as stack:
            for layer, block in enumerate(blocks):
                enter = partial(self._enter, layer, causal)
                leave = partial(self._leave, layer, layer == len(blocks) - 1)
                handles = [
                    block.register_forward_pre_hook(enter, with_kwargs=True),
                    block.register_forward_hook(leave),
                ]
                if terms := self.changes.low_rank.get(layer):
                    attend = partial(self._attend, layer, terms)
                    handles.append(_plain_attention(block).register_forward_hook(attend, with_kwargs=True))
                for handle in handles:
                    stack.callback(handle.remove)
            yield

    def _inserted(self, layer: int) -> int:
        """K, the number of tokens inserted at this layer or before."""
        changes = self.changes.inserted
        return next(iter(changes.values())).shape[1] if changes and layer >= min(changes) else 0

    def _enter(self, layer: int, causal: bool, block: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        x, k, changes = args[0], self._inserted(layer), self.changes
        if k:
            kwargs = kwargs | {"attn_mask": longer_mask(kwargs.get("attn_mask"), k, self.front, causal)}
        if layer in changes.inserted:
            there = 0 if layer == min(changes.inserted) else k
            tokens = self._of_prompts(changes.inserted[layer][:, None]).to(x.dtype)
            x = torch.cat([x[:, : self.front], tokens, x[:, self.front + there :]], 1)
        if layer in changes.prompts:
            vectors, classes = changes.prompts[layer], slice(*self.classes[:2])
            vectors = vectors[:, classes] if vectors.ndim == 4 else vectors[:, None]
            at = self.at[classes]
            at = (at + k * (at >= self.front)).repeat(self.batch, 1)[..., None].expand(-1, -1, x.shape[-1])
            placed = self._of_prompts(vectors).to(x.dtype)
            x = x.scatter(1, at, changes.weight * placed + (1 - changes.weight) * x.gather(1, at))
        return (x, *args[1:]), kwargs

    def _leave(self, layer: int, last: bool, block: nn.Module, args: tuple, out: Tensor) -> Tensor:
        if layer in self.changes.adapters:
            normed, flat = (t.reshape(self.batch, -1, t.shape[-1]) for t in (block.ln_1(args[0]), out))
            out = self.changes.adapters[layer](normed, flat).reshape(out.shape).to(out.dtype)
        if last and (k := self._inserted(layer)):
            out = torch.cat([out[:, : self.front], out[:, self.front + k :]], 1)  # pooling must not see them
        return out

    def _attend(
        self, layer: int, terms: Mapping[str, LowRank], attention: nn.Module, args: tuple, kwargs: dict, _: Any
    ) -> Tensor | tuple[Tensor, None]:
        """Repeats attention with the low-rank terms in its projections."""
        x, mask, longest = args[0], kwargs.get("attn_mask"), self.longest + self._inserted(layer)
        added = [self._added(terms.get(name), x, longest) for name in "qkv"]
        qkv = F.linear(x, attention.in_proj_weight, attention.in_proj_bias) + torch.cat(added, -1)
        q, k, v = (t.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for t in qkv.chunk(3, -1))
        if mask is not None and mask.ndim == 3:
            mask = mask.unflatten(0, (len(x), -1))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
        out = attention.out_proj(mixed) + self._added(terms.get("o"), mixed, longest)
        return (out, None) if isinstance(attention, nn.MultiheadAttention) else out

    def _added(self, term: LowRank | None, x: Tensor, longest: int) -> Tensor:
        if term is None:
            return torch.zeros_like(x)
        rows = x.unflatten(0, (self.batch, -1))  # (N, C, L, D)
        if term.dropout is not None:
            first, last, of_all = self.classes
            factors = term.dropout(of_all, longest)[:, first:last]
            rows = rows * F.pad(factors, (0, 0, 0, rows.shape[2] - factors.shape[2]), value=1).to(x.dtype)
        down, up = (t.mT[:, None].to(x.dtype) for t in (term.down, term.up))
        return (term.scale * (rows @ down) @ up).flatten(0, 1)

    def _of_prompts(self, t: Tensor) -> Tensor:
        """Expands (N, 1 or C, k, D) to the prompts of the pass, (N * C, k, D)."""
        return t.expand(-1, self.classes[1] - self.classes[0], -1, -1).flatten(0, 1)


def blocks_of(text: nn.Module) -> nn.ModuleList:
    """The layers of a text tower. Raises a UserError if they are not open_clip's."""
    blocks = getattr(getattr(text, "transformer", None), "resblocks", None)
    if blocks is None or not getattr(text.transformer, "batch_first", True):  # open_clip 4 knows nothing else
        raise UserError(
            f"the method changes layers of the text tower, but those of a {type(text).__name__} cannot be changed; "
            "use another backbone or method."
        )
    return blocks


def longer_mask(mask: Tensor | None, k: int, front: int, causal: bool) -> Tensor | None:
    """Extends an additive mask (..., L, L) by k tokens after the first `front` tokens: (..., L + k, L + k).

    The new tokens attend to the same tokens as the token before them, and to each other; in a causal tower only to preceding
    tokens. Later tokens attend to them; preceding tokens only if the tower is not causal.
    """
    if mask is None:
        return None
    length = mask.shape[-1]
    old = [at + k * (at >= front) for at in range(length)]
    new = mask.new_zeros(*mask.shape[:-2], length + k, length + k)
    hidden = -torch.inf if causal else 0.0
    new[..., front : front + k, :] = hidden
    new[..., :front, front : front + k] = hidden
    if front:
        new[..., front : front + k, old] = mask[..., front - 1 : front, :]
    new[..., torch.tensor(old)[:, None], torch.tensor(old)] = mask
    own = torch.full((k, k), hidden, dtype=mask.dtype, device=mask.device).triu(1)
    new[..., front : front + k, front : front + k] = own
    return new


def _plain_attention(block: nn.Module) -> Any:
    """The attention of a block of open_clip: torch's MultiheadAttention or, since open_clip 4, its own Attention."""
    attention = getattr(block, "attn", None)
    if getattr(attention, "in_proj_weight", None) is None or not is_plain(attention):
        raise UserError(
            f"the method adds low-rank terms to attention, but the attention of the text tower's {type(block).__name__} does not "
            "support them; use another backbone or method."
        )
    return attention
