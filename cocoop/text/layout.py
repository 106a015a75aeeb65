"""The rows of all prompts in one form: attention masks, and queries, keys and values of constant rows."""

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

import torch
from torch import Tensor, nn

from cocoop.text.changes import Form
from cocoop.text.entries import Entries, Slots
from cocoop.text.layers import additive, attention_output, feed_forward, own_rows_mask, project
from cocoop.text.packing import Packing, Row
from cocoop.text.prompts import Prompts
from cocoop.text.tiling import Tiling, attend, in_tiles
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
        device = self.tower.positional_embedding.device
        tails = self.packing.tails
        self.constants = [qkv for _, qkv in self._constant_layers()]  # of each layer (1, 1, constants, 3D)
        self.heads, head_mask = self._run_heads(device)
        constants = torch.ones(tails.count, tails.size, self.packing.constants, dtype=torch.bool, device=device)
        before = torch.cat([constants, head_mask], 2)
        self.tiling = Tiling(tails.count, before.shape[2], tails.size, self.prefix)
        mask = additive(seen(before, self.prefix, own_rows_mask(tails, device)), self.tower.blocks[0].in_weight.dtype)
        self.register_buffer("mask", mask, persistent=False)  # (tiles, S, S)
        self.register_buffer("zero", mask.new_zeros(()), persistent=False)
        self.slots = {
            what: Slots(self.rows, *numbers, device)
            for what, numbers in (("prompts", (0, n_ctx)), ("inserted", (n_ctx, n_ctx + self.form.inserted)))
        }
        self.register_buffer("where", torch.tensor(self._where(), device=device), persistent=False)
        self._leaves: dict[tuple[int, int], Tensor] = {}
        self._orders: dict[tuple[int, ...], Tensor | None] = {}

    @property
    def rows(self) -> list[Row]:
        """The entries of all rows."""
        return [*self.packing.tails.rows, *self.packing.prefix()[1]]

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

    def leaves(self, first: int, last: int) -> Tensor:
        """The last row of each class in tiles [first, last): its places among their rows, and among their rows in tiles, (2, k)."""
        if (first, last) not in self._leaves:
            _, before, size, shared = self.tiling
            rows = [leaf - first * size for leaf in self._leaves_in(first, last)]
            places = [before + row + (before + shared) * (row // size) for row in rows]
            self._leaves[first, last] = torch.tensor([rows, places], device=self.mask.device)
        return self._leaves[first, last]

    def order(self, starts: Sequence[int]) -> Tensor | None:
        """For each class, its place among the leaves of pieces that start at these tiles; None if it is its own number."""
        if (key := tuple(starts)) not in self._orders:
            pieces = pairwise([*starts, self.tiles])
            place = {leaf: i for i, leaf in enumerate(leaf for piece in pieces for leaf in self._leaves_in(*piece))}
            order = [place[end] for end in self.packing.tails.ends]
            same = order == list(range(len(place)))
            self._orders[key] = None if same else torch.tensor(order, device=self.mask.device)
        return self._orders[key]

    def _leaves_in(self, first: int, last: int) -> list[int]:
        size = self.packing.tails.size
        ends = dict.fromkeys(self.packing.tails.ends)  # equal prompts share one
        return [end for end in ends if first <= end // size < last]

    def before(self, layer: int, first: int, last: int) -> list[Tensor]:
        """Queries, keys and values of the constant rows in front of tiles [first, last), each (1, tiles or 1, k, 3D)."""
        found = [self.constants[layer]] if self.packing.constants else []
        return [*found, self.heads[layer][:, first:last]] if self.heads else found

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
        """Class and position of each row, (2, T + P); for a shared row, one of its classes."""
        tails, rows = self.packing.tails, self.rows
        classes, positions = [0] * len(rows), [row.position for row in rows]
        for c in range(len(self.packing.prompts.classes)):
            for row in tails.path(c):
                classes[row] = c
        return [classes, positions]

    def _constant_layers(self) -> Iterator[tuple[Tensor, Tensor]]:
        constants, _ = self.packing.prefix()
        device, count = self.tower.positional_embedding.device, len(constants)
        none = torch.zeros(1, count, 0, dtype=torch.bool, device=device)
        own = torch.ones(1, count, count, dtype=torch.bool, device=device).tril()
        return self._run(Entries(self.tower, constants), [], none, own)

    def _head_layers(self) -> Iterator[tuple[Tensor, Tensor]]:
        heads, device = self.packing.heads, self.tower.positional_embedding.device
        assert heads is not None  # asked for only where there are some
        before = torch.ones(heads.count, heads.size, len(self.packing.shared), dtype=torch.bool, device=device)
        return self._run(Entries(self.tower, heads.rows), self.constants, before, own_rows_mask(heads, device))

    def _run(
        self, entries: Entries, constants: Sequence[Tensor], before: Tensor, own: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs (T, D), and queries, keys and values (1, 1, T, 3D), in every layer for constant entries that follow others.

        constants: those of the others, by layer; before, own: what the entries attend to, as in `seen`.
        """
        x, heads = entries.constant, self.tower.facts.heads
        mask = additive(seen(before, 0, own), entries.projection.dtype)[:, None]
        tiling = Tiling(len(own), before.shape[2], own.shape[2], 0)
        for layer, block in enumerate(self.tower.blocks):
            qkv = project(block, x, self.tower.facts.epsilon)[None]
            yield x, qkv[:, None]
            mixed = attend(qkv, constants[layer : layer + 1], mask, tiling, heads)
            mixed = in_tiles(mixed, tiling)[:, :, tiling.before :]
            x = feed_forward(self.tower, block, x + attention_output(block, mixed.flatten(0, 2)))

    def _run_heads(self, device: torch.device) -> tuple[list[Tensor], Tensor]:
        """Queries, keys and values (1, tiles, heads, 3D) in every layer of the constant heads that each tile of tails attends to.

        Also (tiles, R, heads) booleans: the heads that a row attends to.
        """
        tails = self.packing.tails
        if self.packing.heads is None:
            return [], torch.zeros(tails.count, tails.size, 0, dtype=torch.bool, device=device)
        columns, places = self.packing.seen_heads()
        widest = max(map(len, columns))
        index = torch.tensor([rows + [0] * (widest - len(rows)) for rows in columns], device=device)
        mask = torch.zeros(tails.count * tails.size, widest, dtype=torch.bool)
        for rows, where in places:
            mask[rows, where] = True
        found = [qkv[:, 0, index] for _, qkv in self._head_layers()]
        return found, mask.view(tails.count, tails.size, widest).to(device)


def seen(before: Tensor, shared: int, own: Tensor) -> Tensor:
    """(tiles, S, S) booleans: the keys that each row of a tile attends to, in the order of `Tiling`.

    before: (tiles, R, k), the constant rows that the tile's own rows attend to; own: (tiles, R, R), their own rows.
    """
    tiles, size, front = before.shape
    # Constant rows ask for nothing, but without a key, they would be NaN.
    found = torch.eye(front + size + shared, dtype=torch.bool, device=own.device).repeat(tiles, 1, 1)
    _, own_rows, shared_rows = found.split([front, size, shared], 1)
    own_rows.copy_(torch.cat([before, own, own.new_ones(tiles, size, shared)], 2))
    shared_rows[..., :front] = True
    shared_rows[..., front + size :] = own.new_ones(shared, shared).tril()
    return found


def _formed(prompts: Prompts, form: Form) -> Prompts:
    """Prompts with slots for inserted tokens after SOS, numbered after the context's slots."""
    slots = tuple(-(prompts.n_ctx + k + 1) for k in range(form.inserted))
    classes = tuple((*entries[:FRONT], *slots, *entries[FRONT:]) for entries in prompts.classes)
    return Prompts(classes, prompts.n_ctx + form.inserted, form.shared)
