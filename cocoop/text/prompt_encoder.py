"""The exact prompt encoder: text features of learned prompts, computing only the tokens that differ.

CoCoOp is expensive because every image needs its own text features of every class (section 3.2 of the paper); the reference
runs 77 tokens for each pair (trainers/cocoop.py:183-189). The tower is causal, so tokens after EOT have no effect, a prefix
does not depend on later tokens, and the last layer is needed only for EOT. The encoder uses these facts and is exact: it
gives the same logits and the same gradients.

Methods that change the tower itself (`changes.py`) change the form of tokens from some layer on: with class-specific vectors,
prompts no longer share the prefix; with adapters, SOS is no longer constant. Rows then get a new layout at that layer, and earlier
layers cost the same as before; if nothing is learned before that layer, they are computed only once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cocoop.text.changes import UNCHANGED, Form, TextChanges
from cocoop.text.entries import Entries
from cocoop.text.layers import attention_output, feed_forward, first_norm, layer_norm, project_normed
from cocoop.text.layout import Layout
from cocoop.text.packing import Packing
from cocoop.text.piece import Piece, joined
from cocoop.text.prompts import Prompts
from cocoop.text.tiling import Chosen
from cocoop.text.tower import TextTower

DEFAULT_BUDGET_MB = 2048
KEPT_BY_ROW = 8  # vectors of width D that a token stores per layer: inputs of norms 2, result of attention 1, MLP 5
KEPT_BY_KEY = 4  # vectors that a row of a tile stores: copies of its query, key and value, and the result of attention
KEPT_BY_CHANGE = 4  # vectors that a token stores for adapters and low-rank terms, and again for dropout
ROWS_IN_CACHE = (
    2048  # without gradients, more tokens at once do not make a CPU faster, because activations no longer fit its cache
)


class Stage(NamedTuple):
    """Consecutive layers with one layout, from the input of `layer` on.

    Attributes:
        layer: the first layer.
        layout: the layout of the rows.
        source: indices of its rows among the rows and constants of the previous stage; None for the first stage.
        fixed: states of these constants, (1, constants, D), or the complete input (1, T + P, D) if nothing is learned before.
    """

    layer: int
    layout: Layout
    source: Tensor | None = None
    fixed: Tensor | None = None


class PromptEncoder(nn.Module):
    """Text features of C prompts with N contexts. Contains only constants, nothing is learned.

    budget_mb: memory for activations. Larger batches are split by context and then by tiles of classes (each piece with its own
        prefix rows), and recomputed in the backward pass.
    """

    def __init__(self, tower: TextTower, prompts: Prompts, budget_mb: int = DEFAULT_BUDGET_MB) -> None:
        super().__init__()
        self.tower, self.prompts, self.budget_mb = tower, prompts, budget_mb
        with torch.no_grad():
            self.layout = Layout(tower, prompts, Form(prompts.shared))
            self.rows = Entries(tower, self.layout.rows, prompts.n_ctx)
        self._layouts = {self.layout.form: self.layout}
        self._stages: dict[tuple[tuple[int, Form], ...], list[Stage]] = {}

    @property
    def packing(self) -> Packing:
        """The layout of the prompts without a method's changes."""
        return self.layout.packing

    @property
    def classes(self) -> int:
        """C, the number of prompts."""
        return len(self.prompts.classes)

    def forward(self, context: Tensor, changes: TextChanges = UNCHANGED) -> Tensor:
        """Text features (N, C, E), not normalised.

        context: (N, M, D), or (N, C, M, D) if class-specific; M may be 0.
        changes: a method's changes inside the tower.
        """
        if changes is not UNCHANGED:
            changes.check(len(self.tower.blocks), self.classes, context)
        stages = self.stages(changes)
        ends = [*(stage.layer for stage in stages[1:]), len(self.tower.blocks)]
        rows: Tensor | None = None
        for stage, end in zip(stages, ends, strict=True):
            rows = self._run(stage, end, context, rows, changes)
        assert rows is not None  # there is a first stage
        return rows

    def stages(self, changes: TextChanges) -> list[Stage]:
        """The stages for these changes, created in the first call with changes of the same form."""
        forms = changes.forms(self.prompts.shared)
        if forms not in self._stages:
            with torch.no_grad():
                self._stages[forms] = self._made(forms)
        return self._stages[forms]

    def _made(self, forms: Sequence[tuple[int, Form]]) -> list[Stage]:
        found = [Stage(0, self.layout)]
        for layer, form in forms[1:]:
            if form not in self._layouts:
                self._layouts[form] = Layout(self.tower, self.prompts, form)
            layout, before = self._layouts[form], found[-1].layout
            found.append(Stage(layer, layout, layout.source(before), before.constant_states(layer)))
        if len(found) == 1 or self.prompts.n_ctx:
            return found
        first, second = found[:2]  # nothing is learned before the second
        assert second.source is not None and second.fixed is not None
        nothing = self.tower.positional_embedding.new_zeros(1, 0, self.tower.width)
        rows = self._run(first, second.layer, nothing, None, UNCHANGED)
        rows = torch.cat([rows, second.fixed.to(rows.dtype)], 1)
        return [second._replace(fixed=rows.index_select(1, second.source)), *found[2:]]

    def at_once(self, device: torch.device, layout: Layout | None = None) -> tuple[int, int]:
        """Numbers of contexts and of tiles of classes that fit the budget together (each at least one)."""
        layout = layout or self.layout
        tiles, size, prefix, keys = layout.tiles, layout.tiling.own, layout.prefix, layout.mask.shape[-1]
        row = KEPT_BY_ROW + KEPT_BY_CHANGE * (layout.form.live + layout.form.apart)
        tile = size * row + keys * KEPT_BY_KEY  # vectors of width D in one layer
        alone = prefix * row  # the prefix of a piece
        room = self._vectors_at_once()
        batch, at_once = room // (alone + tiles * tile), (room - alone) // tile
        if not torch.is_grad_enabled() and device.type == "cpu":
            batch, at_once = min(batch, ROWS_IN_CACHE // (tiles * size)), min(at_once, ROWS_IN_CACHE // size)
        return max(1, batch), max(1, at_once)

    def _vectors_at_once(self) -> int:
        """Vectors of width D per layer that fit the budget: all layers are stored with gradients, one without."""
        layers = self.tower.facts.layers if torch.is_grad_enabled() else 1
        return self.budget_mb * 2**20 // (self.tower.width * self.tower.positional_embedding.element_size() * layers)

    def _run(self, stage: Stage, end: int, context: Tensor, rows: Tensor | None, changes: TextChanges) -> Tensor:
        """Runs a stage up to the input of layer `end` and returns its rows (N, T + P, D), or to the end: features (N, classes, E).

        Classes with equal prompts count once. rows: all rows of the previous stage.
        """
        layout, batch = stage.layout, len(context)
        n, at_once = self.at_once(context.device, layout)
        if changes.adapters:
            n, at_once = batch, max(1, at_once // batch)  # an adapter needs the whole batch
        if batch <= n and layout.tiles <= at_once:
            return self._merged(layout, end, [self._piece(stage, end, context, rows, changes, 0, layout.tiles)], [0])
        whole, starts = [], range(0, layout.tiles, at_once)
        for start in range(0, batch, n):
            part = slice(start, start + n)
            entering = None if rows is None else rows[part]
            changed = changes if n >= batch else changes.part(start, start + n)
            pieces = [
                self._again(stage, end, context[part], entering, changed, first, min(first + at_once, layout.tiles))
                for first in starts
            ]
            whole.append(self._merged(layout, end, pieces, starts))
        return torch.cat(whole)

    def _merged(self, layout: Layout, end: int, pieces: Sequence[Tensor], starts: Sequence[int]) -> Tensor:
        """All rows of pieces that start at these tiles, or their features in the order of the classes."""
        if end < len(self.tower.blocks):
            tails = [piece[:, : piece.shape[1] - layout.prefix] for piece in pieces[:-1]]
            return joined([*tails, pieces[-1]])
        order, features = layout.order(starts), joined(pieces)
        return features if order is None else features.index_select(1, order)

    def _again(self, *piece) -> Tensor:
        """Computes a piece without storing activations; the backward pass recomputes it."""
        if not torch.is_grad_enabled():
            return self._piece(*piece)
        return checkpoint(self._piece, *piece, use_reentrant=False, preserve_rng_state=False)

    def _piece(
        self,
        stage: Stage,
        end: int,
        context: Tensor,
        rows: Tensor | None,
        changes: TextChanges,
        first: int,
        last: int,
    ) -> Tensor:
        """Rows (N, T + P, D) of tiles [first, last) and the prefix at the input of layer `end`, or features (N, leaves, E)."""
        piece = Piece(stage.layout, changes, len(context), first, last)
        x, qkv = self._entering(stage, piece, context, rows)
        top = len(self.tower.blocks) - 1
        for layer in range(stage.layer, min(end, top)):
            x, qkv = self._layer(piece, layer, x, qkv), None
        return piece.by_context(self._features(self._layer(piece, top, x, qkv, leaves=True)) if end > top else x)

    def _entering(
        self, stage: Stage, piece: Piece, context: Tensor, rows: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The piece's rows (N * rows, D) and, in the first layer, their queries, keys and values."""
        if stage.source is None:
            filled = (self.rows.fill(context, *place) for place in piece.ranges)
            x, qkv = (joined(parts).flatten(0, 1) for parts in zip(*filled, strict=True))
            return x, qkv
        assert stage.fixed is not None  # as it has a source
        if rows is None:
            return piece.cut(stage.fixed.expand(len(context), -1, -1)).flatten(0, 1), None
        rows = torch.cat([rows, stage.fixed.to(rows.dtype).expand(len(context), -1, -1)], 1)
        return rows.index_select(1, piece.cut(stage.source[None])[0]).flatten(0, 1), None

    def _layer(self, piece: Piece, layer: int, x: Tensor, qkv: Tensor | None, leaves: bool = False) -> Tensor:
        """One layer for all rows (N * rows, D). qkv: queries, keys and values if already known.

        leaves: whether its output is only needed for the last row of each class, (N * classes, D).
        """
        block, normed = self.tower.blocks[layer], None
        if qkv is None:
            x = piece.put(layer, x)
            normed = first_norm(block, x, self.tower.facts.epsilon)
            qkv = _plus(project_normed(block, normed), piece.low_rank(layer, "qkv", normed))
        mixed = piece.attend(layer, qkv, leaves)
        if leaves:
            x = Chosen.apply(piece.by_context(x), piece.leaves).flatten(0, 1)
        x = x + _plus(attention_output(block, mixed), piece.low_rank(layer, "o", mixed, leaves))
        x = feed_forward(self.tower, block, x)
        if layer not in piece.changes.adapters:
            return x
        assert normed is not None  # an adapter ends the constancy of the first layer's input
        if leaves:
            normed = Chosen.apply(piece.by_context(normed), piece.leaves).flatten(0, 1)
        return piece.adapted(layer, normed, x)

    def _features(self, x: Tensor) -> Tensor:
        """Text features (N * classes, E) of last rows (N * classes, D)."""
        tower = self.tower
        x = layer_norm(x, tower.ln_final_weight, tower.ln_final_bias, tower.facts.epsilon)
        return F.linear(x.to(tower.text_projection.dtype), tower.text_projection.T)


def _plus(x: Tensor, term: Tensor | None) -> Tensor:
    return x if term is None else x + term.to(x.dtype)
