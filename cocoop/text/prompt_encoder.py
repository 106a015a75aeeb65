"""The exact fast prompt encoder: text features of learned prompts at the price of the tokens that differ.

CoCoOp's price is that every image needs its own text features for every class (section 3.2 of the paper); the reference
runs 77 tokens for each pair (trainers/cocoop.py:183-189). The tower is causal, so nothing after EOT matters, a prefix does
not see what follows, and in the last layer only EOT is needed. Everything here follows from that, and is exact: same
logits, same gradients.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cocoop.text.entries import Entries
from cocoop.text.layers import causal_mask, feed_forward, layer_norm, own_rows_mask, project, tiled_attention
from cocoop.text.packing import Packing
from cocoop.text.prompts import Prompts
from cocoop.text.tower import Block, TextTower

DEFAULT_BUDGET_MB = 2048
KEPT_BY_ROW = 11  # vectors of width D a token keeps in a layer: norms' inputs 2, q k v 3, attention's result 1, MLP 5
KEPT_BY_KEY = 2  # and what a key keeps for each tile that sees it: copies of it and of its value
ROWS_IN_CACHE = (
    2048  # without gradients, more tokens at once gain nothing on a CPU and push activations out of its cache
)


class PromptEncoder(nn.Module):
    """Text features of C prompts under N contexts at once. Holds constants only; nothing in it is learned.

    Linear layers see plain rows: the tails of all contexts, then the prefixes of all contexts.
    budget_mb: memory for activations. What does not fit at once is cut over contexts, then over tiles of classes (each piece
    with its own prefix rows), and computed again in the backward pass.
    """

    def __init__(self, tower: TextTower, prompts: Prompts, budget_mb: int = DEFAULT_BUDGET_MB) -> None:
        super().__init__()
        self.tower, self.budget_mb = tower, budget_mb
        self.packing = Packing(prompts)
        with torch.no_grad():
            self._prepare()

    def _prepare(self) -> None:
        """What no context changes, computed once: the constant prefix and the constant heads in every layer, and masks."""
        device, tails = self.tower.positional_embedding.device, self.packing.tails
        before, after = self.packing.prefix()
        self.constants = self._run_constants(Entries(self.tower, before), [], causal_mask(len(before), 0, device))
        self.prefix = Entries(self.tower, after)
        self.tails = Entries(self.tower, tails.rows)
        self.heads, head_mask = self._run_heads(device)
        shared = torch.ones(tails.count, tails.size, len(self.packing.shared), dtype=torch.bool, device=device)
        mask = torch.cat([shared, head_mask, own_rows_mask(tails, device)], 2)
        self.register_buffer("mask", mask, persistent=False)  # (tiles, R, P + heads + R)
        self.register_buffer("prefix_mask", causal_mask(len(after), len(before), device), persistent=False)
        self.leaves_before = [sum(row < tile * tails.size for row in tails.leaves) for tile in range(tails.count + 1)]
        place = {row: place for place, row in enumerate(tails.leaves)}
        self.register_buffer("leaves", torch.tensor(tails.leaves, device=device), persistent=False)
        self.register_buffer(
            "unsort", torch.tensor([place[end] for end in tails.ends], device=device), persistent=False
        )

    @property
    def classes(self) -> int:
        """C, the number of prompts."""
        return len(self.packing.prompts.classes)

    def forward(self, context: Tensor) -> Tensor:
        """context: (N, M, D), or (N, C, M, D) when class-specific -> text features (N, C, E), not normalised."""
        tiles = self.packing.tails.count
        contexts, at_once = self.at_once(context.device)
        if len(context) <= contexts and tiles <= at_once:
            return self._features(context, 0, tiles).index_select(1, self.unsort)
        pieces = [(first, min(first + at_once, tiles)) for first in range(0, tiles, at_once)]
        features = [torch.cat([self._piece(part, *piece) for piece in pieces], 1) for part in context.split(contexts)]
        return torch.cat(features).index_select(1, self.unsort)

    def at_once(self, device: torch.device) -> tuple[int, int]:
        """Contexts, and tiles of classes, whose activations fit the budget together (one of each at least)."""
        tiles, size, keys = self.mask.shape
        prefix, prefix_keys = self.prefix_mask.shape[1:]
        tile = size * KEPT_BY_ROW + keys * KEPT_BY_KEY  # vectors of width D in one layer
        alone = prefix * KEPT_BY_ROW + prefix_keys * KEPT_BY_KEY  # of a piece's own prefix
        room = self._vectors_at_once()
        contexts, at_once = room // (alone + tiles * tile), (room - alone) // tile
        if not torch.is_grad_enabled() and device.type == "cpu":
            contexts, at_once = min(contexts, ROWS_IN_CACHE // (tiles * size)), min(at_once, ROWS_IN_CACHE // size)
        return max(1, contexts), max(1, at_once)

    def _vectors_at_once(self) -> int:
        """Vectors of width D in one layer that fit the budget: all layers are kept with gradients, one without."""
        layers = self.tower.facts.layers if torch.is_grad_enabled() else 1
        return self.budget_mb * 2**20 // (self.tower.width * self.tower.positional_embedding.element_size() * layers)

    def _piece(self, context: Tensor, first: int, last: int) -> Tensor:
        if not torch.is_grad_enabled():
            return self._features(context, first, last)
        return checkpoint(self._features, context, first, last, use_reentrant=False, preserve_rng_state=False)

    def _features(self, context: Tensor, first: int, last: int) -> Tensor:
        """Text features (N, classes, E) of the tiles [first, last); classes that differ in nothing count once."""
        size = self.packing.tails.size
        tails, tails_qkv = self.tails.fill(context, first * size, last * size)
        prefix, prefix_qkv = self.prefix.fill(context)
        shapes = [tails.shape[:2], prefix.shape[:2]]
        x = torch.cat([tails.flatten(0, 1), prefix.flatten(0, 1)])  # (rows, D)
        for layer, block in enumerate(self.tower.blocks[:-1]):
            if layer:
                tails_qkv, prefix_qkv = _parted(project(block, x, self.tower.facts.epsilon), shapes)
            mixed = self._attend_tails(layer, tails_qkv, prefix_qkv, first, last)
            prefix_mixed = self._attend_prefix(layer, prefix_qkv)
            x = self._finish(block, x, torch.cat([mixed.flatten(0, 1), prefix_mixed.flatten(0, 1)]))
        return self._eot(x, shapes, first, last)

    def _eot(self, x: Tensor, shapes: Sequence[torch.Size], first: int, last: int) -> Tensor:
        """The last layer, for EOT only: keys and values of all rows, queries and MLP of each class's last; then features."""
        tower, block, size = self.tower, self.tower.blocks[-1], self.packing.tails.size
        leaves = self.leaves[self.leaves_before[first] : self.leaves_before[last]] - first * size
        eot = _parted(x, shapes)[0].index_select(1, leaves)  # (N, classes, D)
        tails_kv, prefix_kv = _parted(project(block, x, tower.facts.epsilon, slice(1, 3)), shapes)
        asked = project(block, eot, tower.facts.epsilon, slice(0, 1))
        query = asked.new_zeros(*shapes[0], tower.width).index_copy(1, leaves, asked)
        mixed = self._attend_tails(tower.facts.layers - 1, torch.cat([query, tails_kv], -1), prefix_kv, first, last)
        x = self._finish(block, eot.flatten(0, 1), mixed.index_select(1, leaves).flatten(0, 1))
        x = layer_norm(x, tower.ln_final_weight, tower.ln_final_bias, tower.facts.epsilon)
        return F.linear(x.to(tower.text_projection.dtype), tower.text_projection.T).unflatten(0, eot.shape[:2])

    def _attend_tails(self, layer: int, qkv: Tensor, prefix: Tensor, first: int, last: int) -> Tensor:
        """Tails (N, T, 3D) attend to the constant prefix, to the prefix's keys and values, and inside of their tiles."""
        before = [self.constants[layer], prefix[:, None, :, -2 * self.tower.width :]]
        if self.heads:
            before.append(self.heads[layer][:, first:last])
        return tiled_attention(qkv, before, self.mask[first:last], self.tower.facts.heads)

    def _attend_prefix(self, layer: int, qkv: Tensor) -> Tensor:
        if not len(self.prefix):
            return qkv[..., : self.tower.width]
        return tiled_attention(qkv, [self.constants[layer]], self.prefix_mask, self.tower.facts.heads)

    def _finish(self, block: Block, x: Tensor, mixed: Tensor) -> Tensor:
        return feed_forward(self.tower, block, x + F.linear(mixed, block.out_weight, block.out_bias))

    def _run_constants(self, entries: Entries, before: Sequence[Tensor], mask: Tensor) -> list[Tensor]:
        """Keys and values (1, 1, T, 2D) in every layer of entries that no context changes, behind others `before`."""
        x, found = entries.constant, []
        for layer, block in enumerate(self.tower.blocks):
            qkv = project(block, x, self.tower.facts.epsilon)[None]
            found.append(qkv[:, None, :, self.tower.width :])
            mixed = tiled_attention(qkv, [t[layer] for t in before], mask, self.tower.facts.heads)
            x = self._finish(block, x, mixed.flatten(0, 1))
        return found

    def _run_heads(self, device: torch.device) -> tuple[list[Tensor], Tensor]:
        """In every layer, keys and values (1, tiles, heads, 2D) of the constant heads that each tile of tails sees.

        Also the mask (tiles, R, heads): which of them a row sees.
        """
        tails, heads = self.packing.tails, self.packing.heads
        if heads is None:
            return [], torch.zeros(tails.count, tails.size, 0, dtype=torch.bool, device=device)
        shared = torch.ones(heads.count, heads.size, len(self.packing.shared), dtype=torch.bool, device=device)
        mask = torch.cat([shared, own_rows_mask(heads, device)], 2)
        found = self._run_constants(Entries(self.tower, heads.rows), [self.constants], mask)
        columns, seen = self.packing.seen_heads()
        widest = max(map(len, columns))
        index = torch.tensor([rows + [0] * (widest - len(rows)) for rows in columns], device=device)
        mask = torch.zeros(tails.count * tails.size, widest, dtype=torch.bool)
        for rows, where in seen:
            mask[rows, where] = True
        return [t[:, 0, index] for t in found], mask.view(tails.count, tails.size, widest).to(device)


def _parted(rows: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Rows (tails of N contexts, then prefixes of N contexts) as (N, T, …) and (N, P, …)."""
    parts = rows.split([n * tokens for n, tokens in shapes])
    return [part.view(*shape, rows.shape[-1]) for part, shape in zip(parts, shapes, strict=True)]
