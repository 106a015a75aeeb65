"""The rows of all prompts in one form: attention masks, and keys and values of constant rows."""

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor, nn

from cocoop.text.changes import Form
from cocoop.text.entries import Entries, Slots
from cocoop.text.layers import additive, attention_output, causal_mask, feed_forward, own_rows_mask, project
from cocoop.text.layers import tiled_attention as attention
from cocoop.text.packing import Packing
from cocoop.text.prompts import Prompts
from cocoop.text.tower import TextTower

FRONT = 1  # inserted tokens follow SOS


class Layout(nn.Module):
    """Constants that are computed once. Rows are the tails of all classes in tiles, followed by the shared prefix."""

    def __init__(self, tower: TextTower, prompts: Prompts, form: Form) -> None:
        super().__init__()
        self.tower, self.form = tower, form
        self.packing = Packing(_formed(prompts, form), form.live, form.apart)
        self._prepare(prompts.n_ctx)

    def _prepare(self, n_ctx: int) -> None:
        device, dtype = self.tower.positional_embedding.device, self.tower.blocks[0].in_weight.dtype
        packing, tails = self.packing, self.packing.tails
        before, after = packing.prefix()
        self.constants = [keys for _, keys in self._constant_layers()]  # of each layer (1, 1, constants, 2D)
        self.heads, head_mask = self._run_heads(device)
        shared = torch.ones(tails.count, tails.size, len(packing.shared), dtype=torch.bool, device=device)
        mask = torch.cat([shared, head_mask, own_rows_mask(tails, device)], 2)
        self.register_buffer("mask", additive(mask, dtype), persistent=False)  # (tiles, R, P + heads + R)
        mask = causal_mask(len(after), len(before), device)
        self.register_buffer("prefix_mask", additive(mask, dtype), persistent=False)
        self.slots = {
            what: (Slots(tails.rows, *numbers, device), Slots(after, *numbers, device))
            for what, numbers in (("prompts", (0, n_ctx)), ("inserted", (n_ctx, n_ctx + self.form.inserted)))
        }
        self.leaves_before = [sum(row < tile * tails.size for row in tails.leaves) for tile in range(tails.count + 1)]
        place = {row: place for place, row in enumerate(tails.leaves)}
        unsort = torch.tensor([place[end] for end in tails.ends], device=device)
        self.register_buffer("leaves", torch.tensor(tails.leaves, device=device), persistent=False)
        self.register_buffer("unsort", unsort, persistent=False)
        self.register_buffer("where", torch.tensor(self._where(), device=device), persistent=False)

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return self.packing.tails.count

    @property
    def prefix(self) -> int:
        """P, the number of rows that all prompts share and that depend on learned tensors."""
        return len(self.packing.shared) - self.packing.constants

    @property
    def longest(self) -> int:
        """Number of tokens of the longest prompt."""
        return max(map(len, self.packing.prompts.classes))

    def leaves_of(self, first: int, last: int) -> Tensor:
        """The last row of each class in tiles [first, last), relative to the first row of these tiles."""
        return self.leaves[self.leaves_before[first] : self.leaves_before[last]] - first * self.packing.tails.size

    def attend(self, layer: int, tails: Tensor, prefix: Tensor, first: int, last: int) -> Tensor:
        """Attention of tails: queries, keys and values of tails (N, T, 3D) and of the prefix (N, P, 2D or 3D) to (N, T, D).

        Tails attend to the constants, to the prefix, to constant heads, and to rows of their tile.
        """
        before = [self.constants[layer], prefix[:, None, :, -2 * self.tower.width :]]
        if self.heads:
            before.append(self.heads[layer][:, first:last])
        return attention(tails, before, self.mask[first:last], self.tower.facts.heads)

    def attend_prefix(self, layer: int, prefix: Tensor) -> Tensor:
        """Attention of the prefix: (N, P, 3D) to (N, P, D)."""
        if not self.prefix:
            return prefix[..., : self.tower.width]
        return attention(prefix, [self.constants[layer]], self.prefix_mask, self.tower.facts.heads)

    def constant_states(self, layer: int) -> Tensor:
        """Constants and constant heads at the input of a layer, (1, constants + heads, D)."""
        found = [self._constant_layers()]
        if self.packing.heads:
            found.append(self._head_layers())
        return torch.cat([next(islice(layers, layer, None))[0] for layers in found])[None]

    def source(self, before: "Layout") -> Tensor:
        """For each row of this layout (tails, then prefix), its index among tails, prefix, constants and heads of the previous one.

        New rows get the first index, because a learned vector will replace them.
        """
        added = self.form.inserted - before.form.inserted
        rows = [0] * (len(self.packing.tails.rows) + self.prefix)
        for c in range(len(self.packing.prompts.classes)):
            new, old = self.packing.places(c), before.packing.places(c)
            for position, place in enumerate(old):
                row = new[position + added * (position >= FRONT)]
                if row < len(rows):  # otherwise it is also constant here
                    rows[row] = place
        return torch.tensor(rows, device=self.mask.device)

    def _where(self) -> list[list[int]]:
        """Class and position of each row of the tails, (2, T); for a shared row, one of its classes."""
        tails = self.packing.tails
        classes, positions = [0] * len(tails.rows), [0] * len(tails.rows)
        for c in range(len(self.packing.prompts.classes)):
            for row in tails.path(c):
                classes[row], positions[row] = c, tails.rows[row].position
        return [classes, positions]

    def _constant_layers(self) -> Iterator[tuple[Tensor, Tensor]]:
        before, _ = self.packing.prefix()
        mask = causal_mask(len(before), 0, self.tower.positional_embedding.device)
        return self._run(Entries(self.tower, before), [], mask)

    def _head_layers(self) -> Iterator[tuple[Tensor, Tensor]]:
        heads, device = self.packing.heads, self.tower.positional_embedding.device
        assert heads is not None  # asked for only where there are some
        shared = torch.ones(heads.count, heads.size, len(self.packing.shared), dtype=torch.bool, device=device)
        mask = torch.cat([shared, own_rows_mask(heads, device)], 2)
        return self._run(Entries(self.tower, heads.rows), [self.constants], mask)

    def _run(
        self, entries: Entries, before: Sequence[Sequence[Tensor]], seen: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs (T, D) and keys and values (1, 1, T, 2D) in every layer for constant entries that follow others (`before`)."""
        x, mask = entries.constant, additive(seen, entries.projection.dtype)
        for layer, block in enumerate(self.tower.blocks):
            qkv = project(block, x, self.tower.facts.epsilon)[None]
            yield x, qkv[:, None, :, self.tower.width :]
            mixed = attention(qkv, [keys[layer] for keys in before], mask, self.tower.facts.heads)
            x = feed_forward(self.tower, block, x + attention_output(block, mixed.flatten(0, 1)))

    def _run_heads(self, device: torch.device) -> tuple[list[Tensor], Tensor]:
        """Keys and values (1, tiles, heads, 2D) in every layer of the constant heads that each tile of tails attends to.

        Also (tiles, R, heads) booleans: the heads that a row attends to.
        """
        tails = self.packing.tails
        if self.packing.heads is None:
            return [], torch.zeros(tails.count, tails.size, 0, dtype=torch.bool, device=device)
        columns, seen = self.packing.seen_heads()
        widest = max(map(len, columns))
        index = torch.tensor([rows + [0] * (widest - len(rows)) for rows in columns], device=device)
        mask = torch.zeros(tails.count * tails.size, widest, dtype=torch.bool)
        for rows, where in seen:
            mask[rows, where] = True
        found = [keys[:, 0, index] for _, keys in self._head_layers()]
        return found, mask.view(tails.count, tails.size, widest).to(device)


def _formed(prompts: Prompts, form: Form) -> Prompts:
    """Prompts with slots for inserted tokens after SOS, numbered after the context's slots."""
    slots = tuple(-(prompts.n_ctx + k + 1) for k in range(form.inserted))
    classes = tuple((*entries[:FRONT], *slots, *entries[FRONT:]) for entries in prompts.classes)
    return Prompts(classes, prompts.n_ctx + form.inserted, form.shared)
