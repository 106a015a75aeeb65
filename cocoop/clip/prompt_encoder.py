"""The exact fast prompt encoder: text features of learned prompts at the price of the tokens that differ.

CoCoOp's price is that every image needs its own text features for every class (section 3.2 of the paper); the reference runs 77 tokens
for each pair (trainers/cocoop.py:183-189). The tower is causal, so nothing after EOT matters, a prefix does not see what follows, and in
the last layer only EOT is needed. Everything here follows from that, and is exact: same logits, same gradients.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cocoop.clip.entries import Entries
from cocoop.clip.layers import KeyValue, behind, causal_attention, feed_forward, grouped_attention, layer_norm, project
from cocoop.clip.packing import Group, Packing
from cocoop.clip.prompts import Prompts
from cocoop.clip.text_tower import Block, TextTower

DEFAULT_BUDGET_MB = 2048
KEPT_VECTORS = 11  # of width D that one token keeps in one layer for the backward pass: inputs 2, projections 3, attention 2, MLP 4


class PromptEncoder(nn.Module):
    """Text features of C prompts under N contexts at once. Holds constants only; nothing in it is learned.

    budget_mb: memory for activations. What does not fit at once is cut over contexts, then over classes, and computed again in
    the backward pass.
    """

    def __init__(self, tower: TextTower, prompts: Prompts, budget_mb: int = DEFAULT_BUDGET_MB) -> None:
        super().__init__()
        self.tower, self.budget_mb = tower, budget_mb
        self.packing = Packing(prompts)
        self.register_buffer("unsort", torch.tensor(self.packing.order, device=_device(tower)).argsort(), persistent=False)
        with torch.no_grad():
            self._prepare()

    def _prepare(self) -> None:
        """What no context changes, computed once: the constant prefix and the constant heads in every layer."""
        before, after = self.packing.prefix()
        constant = Entries.of(self.tower, before)
        self.constant_prefix = self._run_prefix(constant.constant[None], constant.projection[None], None)
        self.shared = Entries.of(self.tower, after)
        self.tails = Entries.of(self.tower, self.packing.tails())
        self.parts: dict[tuple[int, int], Entries] = {(0, len(self.packing.order)): self.tails}
        heads = Entries.of(self.tower, self.packing.heads())
        self.heads = self._run_heads(heads) if len(heads) else None

    @property
    def classes(self) -> int:
        """C, the number of prompts."""
        return len(self.packing.order)

    def forward(self, context: Tensor) -> Tensor:
        """context: (N, M, D), or (N, C, M, D) when class-specific -> text features (N, C, E), not normalised."""
        shared = self._run_prefix(*self.shared.fill(context), self.constant_prefix) if len(self.shared) else self.constant_prefix
        rows, tokens = self._rows_at_once(), self.packing.tail_entries
        if context.shape[0] * tokens <= rows:
            return self._features(context, shared, 0, self.classes)[:, self.unsort]
        pieces = [(0, self.classes)] if tokens <= rows else self.packing.pieces(rows)
        features = [
            torch.cat([self._recomputed(part, values, *piece) for piece in pieces], 1)
            for part, values in _over_contexts(context, shared, max(1, rows // tokens))
        ]
        return torch.cat(features)[:, self.unsort]

    def _rows_at_once(self) -> int:
        """Packed tokens whose activations fit the budget: all layers' with gradients, one layer's without."""
        layers = self.tower.facts.layers if torch.is_grad_enabled() else 1
        size = self.tower.width * self.tower.positional_embedding.element_size()
        return self.budget_mb * 2**20 // (KEPT_VECTORS * size * layers)

    def _recomputed(self, context: Tensor, shared: Sequence[KeyValue], first: int, last: int) -> Tensor:
        if not torch.is_grad_enabled():
            return self._features(context, shared, first, last)

        def run(context: Tensor, *flat: Tensor) -> Tensor:
            values = [KeyValue(*pair) for pair in zip(flat[::2], flat[1::2], strict=True)]
            return self._features(context, values, first, last)

        flat = [tensor for values in shared for tensor in values]
        return checkpoint(run, context, *flat, use_reentrant=False, preserve_rng_state=False)

    def _features(self, context: Tensor, shared: Sequence[KeyValue], first: int, last: int) -> Tensor:
        """Text features (N, last - first, E) of the packed classes [first, last)."""
        (head_row, start), (_, stop) = self.packing.rows_before(first), self.packing.rows_before(last)
        if (first, last) not in self.parts:
            self.parts[first, last] = self.tails.part(slice(start, stop))
        groups = self.packing.groups(first, last)
        x, projected = self.parts[first, last].fill(context)
        *most, final = enumerate(self.tower.blocks)
        for layer, block in most:
            projected = projected if layer == 0 else project(block, x, self.tower.facts.epsilon)
            query, key, value = projected.chunk(3, -1)
            mixed = self._attend(layer, query, KeyValue(key, value), shared, groups, head_row)
            x = self._finish(block, x, mixed)
        eot = self._eot(*final, x, shared, groups, head_row)
        tower = self.tower
        normed = layer_norm(eot, tower.ln_final_weight, tower.ln_final_bias, tower.facts.epsilon)
        return F.linear(normed, tower.text_projection.T)

    def _eot(
        self, layer: int, block: Block, x: Tensor, shared: Sequence[KeyValue], groups: Sequence[Group], head_row: int
    ) -> Tensor:
        """The last layer, for EOT only: keys and values of all tokens (N, T, D), queries and MLP of EOT (N, C, D)."""
        key, value = project(block, x, self.tower.facts.epsilon, slice(1, 3)).chunk(2, -1)
        eot = torch.cat([x[:, g.tail_rows].unflatten(1, (g.classes, g.tail))[:, :, -1] for g in groups], 1)
        query = project(block, eot, self.tower.facts.epsilon, slice(0, 1))
        return self._finish(block, eot, self._attend(layer, query, KeyValue(key, value), shared, groups, head_row))

    def _attend(
        self,
        layer: int,
        query: Tensor,
        own: KeyValue,
        shared: Sequence[KeyValue],
        groups: Sequence[Group],
        head_row: int = 0,
    ) -> Tensor:
        """Attention of the packed queries: one a tail entry, or one a class (EOT)."""
        out, first, one_each = [], groups[0].first, query.shape[1] != own.key.shape[1]
        for g in groups:
            asking = slice(g.first - first, g.last - first) if one_each else g.tail_rows
            head = None
            if self.heads is not None and g.head:
                rows = slice(head_row + g.head_row, head_row + g.head_row + g.classes * g.head)
                head = KeyValue(*(t[:, rows] for t in self.heads[layer]))
            tails = KeyValue(*(t[:, g.tail_rows] for t in own))
            out.append(grouped_attention(query[:, asking], tails, shared[layer], head, g.classes, self.tower.facts.heads))
        return torch.cat(out, 1)

    def _finish(self, block: Block, x: Tensor, mixed: Tensor) -> Tensor:
        return feed_forward(self.tower, block, x + F.linear(mixed, block.out_weight, block.out_bias))

    def _run_prefix(self, x: Tensor, projected: Tensor, before: Sequence[KeyValue] | None) -> list[KeyValue]:
        """Runs prefix entries (N, P, D) behind those `before`; returns the keys and values of both in every layer."""
        found: list[KeyValue] = []
        blocks = self.tower.blocks
        for layer, block in enumerate(blocks):
            final = layer == len(blocks) - 1
            if layer:
                projected = project(block, x, self.tower.facts.epsilon, slice(1, 3) if final else slice(0, 3))
            *query, key, value = projected.chunk(projected.shape[-1] // x.shape[-1], -1)
            found.append(behind(before and before[layer], KeyValue(key, value)))
            if not final:
                x = self._finish(block, x, causal_attention(query[0], found[-1], self.tower.facts.heads))
        return found

    def _run_heads(self, heads: Entries) -> list[KeyValue]:
        """Keys and values (1, rows, D) of all constant heads in every layer."""
        found: list[KeyValue] = []
        groups = [Group(g.first, g.last, 0, g.head, 0, g.head_row) for g in self.packing.groups() if g.head]
        x = heads.constant[None]
        for layer, block in enumerate(self.tower.blocks):
            query, key, value = project(block, x, self.tower.facts.epsilon).chunk(3, -1)
            found.append(KeyValue(key, value))
            x = self._finish(block, x, self._attend_heads(query, found[-1], layer, groups))
        return found

    def _attend_heads(self, query: Tensor, own: KeyValue, layer: int, groups: Sequence[Group]) -> Tensor:
        heads = self.tower.facts.heads
        return torch.cat(
            [
                grouped_attention(
                    query[:, g.tail_rows],
                    KeyValue(*(t[:, g.tail_rows] for t in own)),
                    self.constant_prefix[layer],
                    None,
                    g.classes,
                    heads,
                )
                for g in groups
            ],
            1,
        )


def _over_contexts(
    context: Tensor, shared: Sequence[KeyValue], step: int
) -> Iterator[tuple[Tensor, list[KeyValue]]]:
    for start in range(0, context.shape[0], step):
        part = slice(start, start + step)
        yield context[part], [KeyValue(*(t if t.shape[0] == 1 else t[part] for t in values)) for values in shared]


def _device(tower: TextTower) -> torch.device:
    return tower.positional_embedding.device
