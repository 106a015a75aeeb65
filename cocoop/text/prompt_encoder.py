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
from cocoop.text.tower import TextTower

DEFAULT_BUDGET_MB = 2048
KEPT_BY_ROW = (
    11  # vectors of width D that a token stores per layer: inputs of norms 2, q k v 3, result of attention 1, MLP 5
)
KEPT_BY_KEY = 2  # vectors that a key stores for each tile that attends to it: copies of the key and of its value
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
            self.prefix = Entries(tower, self.packing.prefix()[1], prompts.n_ctx)
            self.tails = Entries(tower, self.packing.tails.rows, prompts.n_ctx)
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
        return rows.index_select(1, stages[-1].layout.unsort)

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
        tiles, size, keys = layout.mask.shape
        prefix, prefix_keys = layout.prefix_mask.shape[1:]
        row = KEPT_BY_ROW + KEPT_BY_CHANGE * (layout.form.live + layout.form.apart)
        tile = size * row + keys * KEPT_BY_KEY  # vectors of width D in one layer
        alone = prefix * row + prefix_keys * KEPT_BY_KEY  # the prefix of a piece
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
        tiles, batch = stage.layout.tiles, len(context)
        n, at_once = self.at_once(context.device, stage.layout)
        if changes.adapters:
            n, at_once = batch, max(1, at_once // batch)  # an adapter needs the whole batch
        if batch <= n and tiles <= at_once:
            found = self._piece(stage, end, context, rows, changes, 0, tiles)
            return found[0] if len(found) == 1 else torch.cat(found, 1)
        whole: list[Tensor] = []
        for start in range(0, batch, n):
            part = slice(start, start + n)
            entering = None if rows is None else rows[part]
            changed = changes if n >= batch else changes.part(start, start + n)
            pieces = [
                self._again(stage, end, context[part], entering, changed, first, min(first + at_once, tiles))
                for first in range(0, tiles, at_once)
            ]
            whole.append(torch.cat([*(piece[0] for piece in pieces), *pieces[0][1:]], 1))
        return torch.cat(whole)

    def _again(self, *piece) -> tuple[Tensor, ...]:
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
    ) -> tuple[Tensor, ...]:
        """Tails (N, T, D) of tiles [first, last) and prefix (N, P, D) at the input of layer `end`, or features (N, classes, E)."""
        piece = Piece(stage.layout, changes, len(context), first, last)
        x, qkv = self._entering(stage, piece, context, rows)
        for layer in range(stage.layer, min(end, len(self.tower.blocks) - 1)):
            x, qkv = self._layer(piece, layer, x, qkv), None
        return (self._eot(piece, x),) if end == len(self.tower.blocks) else tuple(piece.parted(x))

    def _entering(
        self, stage: Stage, piece: Piece, context: Tensor, rows: Tensor | None
    ) -> tuple[Tensor, list[Tensor] | None]:
        """The piece's rows and, in the first layer, queries, keys and values of its tails and prefix."""
        if stage.source is None:
            tails, tails_qkv = self.tails.fill(context, piece.rows.start, piece.rows.stop)
            prefix, prefix_qkv = self.prefix.fill(context)
            return joined(tails, prefix), [tails_qkv, prefix_qkv]
        assert stage.fixed is not None  # as it has a source
        tails = len(stage.layout.packing.tails.rows)
        if rows is None:
            rows = stage.fixed.expand(len(context), -1, -1)
            return joined(rows[:, piece.rows], rows[:, tails:]), None
        rows = torch.cat([rows, stage.fixed.to(rows.dtype).expand(len(context), -1, -1)], 1)
        places = stage.source[piece.rows], stage.source[tails:]
        return joined(*(rows.index_select(1, place) for place in places)), None

    def _layer(self, piece: Piece, layer: int, x: Tensor, qkv: list[Tensor] | None) -> Tensor:
        """One layer for all rows (rows, D). qkv: queries, keys and values if already known."""
        block, layout, normed = self.tower.blocks[layer], piece.layout, None
        if qkv is None:
            x = piece.put(layer, x)
            normed = first_norm(block, x, self.tower.facts.epsilon)
            qkv = piece.parted(_plus(project_normed(block, normed), piece.low_rank(layer, "qkv", normed)))
        tails, prefix = qkv
        mixed = layout.attend(layer, tails, prefix, piece.first, piece.last)
        mixed = joined(mixed, layout.attend_prefix(layer, prefix))
        out = x + _plus(attention_output(block, mixed), piece.low_rank(layer, "o", mixed))
        return piece.adapted(layer, normed, feed_forward(self.tower, block, out))

    def _eot(self, piece: Piece, x: Tensor) -> Tensor:
        """The last layer with keys and values of all rows, but queries and MLP only for each class's EOT; returns features."""
        tower, block, top = self.tower, self.tower.blocks[-1], len(self.tower.blocks) - 1
        leaves = piece.layout.leaves_of(piece.first, piece.last)
        x = piece.put(top, x)
        eot = piece.parted(x)[0].index_select(1, leaves)  # (N, classes, D)
        classes = eot.shape[:2]
        normed, eot_normed = (first_norm(block, t, tower.facts.epsilon) for t in (x, eot.flatten(0, 1)))
        kv = _plus(project_normed(block, normed, slice(1, 3)), piece.low_rank(top, "kv", normed))
        asked = project_normed(block, eot_normed, slice(0, 1))
        asked = _plus(asked, piece.low_rank(top, "q", eot_normed, eot=True)).unflatten(0, classes)
        tails_kv, prefix_kv = piece.parted(kv)
        query = asked.new_zeros(*tails_kv.shape[:2], tower.width).index_copy(1, leaves, asked)
        mixed = piece.layout.attend(top, torch.cat([query, tails_kv], -1), prefix_kv, piece.first, piece.last)
        mixed = mixed.index_select(1, leaves).flatten(0, 1)
        out = _plus(attention_output(block, mixed), piece.low_rank(top, "o", mixed, eot=True))
        x = feed_forward(tower, block, eot.flatten(0, 1) + out)
        x = piece.adapted(top, eot_normed, x, eot=True)
        x = layer_norm(x, tower.ln_final_weight, tower.ln_final_bias, tower.facts.epsilon)
        return F.linear(x.to(tower.text_projection.dtype), tower.text_projection.T).unflatten(0, classes)


def _plus(x: Tensor, term: Tensor | None) -> Tensor:
    return x if term is None else x + term.to(x.dtype)
