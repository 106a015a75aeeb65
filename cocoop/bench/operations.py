"""Counts floating-point operations: the necessary ones, from the packing of prompts, and those of the literal computation.

A product of (a, b) and (b, c) has 2abc operations. Norms, activations, softmax and logits are not counted (below 1 %).

Necessary operations per context, with T tail entries (common beginnings once), P prefix entries that depend on the context, C
distinct classes, width D and A pairs of a row and a key that it attends to:

    first layer     3 D^2 for each context vector (all other projections are constants), 9 D^2 for each of T + P (output, MLP)
    other layers    12 D^2 for each of T + P
    last layer      2 D^2 for each of T + P (keys and values), 10 D^2 for each of C (query, output, MLP), D E for each of C
    attention       4 D for each of A in every layer; in the last layer only for queries of EOT

The backward pass computes gradients of the inputs of products but not of weights, so linear layers count again, and attention
has four products instead of two, so 8 D. In the first layer, only the context has a gradient: 6 D for each pair whose key
depends on it.
"""

from typing import NamedTuple

from cocoop.planning.cost import operations as counted
from cocoop.text.prompt_encoder import PromptEncoder
from cocoop.text.tower import TextTower


class Operations(NamedTuple):
    """Operations for one context: forward pass, and backward pass without gradients of weights."""

    forward: int
    backward: int

    def of(self, work: str) -> int:
        """Operations of a training step, or of an evaluation without a backward pass."""
        return self.forward + self.backward if work == "train" else self.forward


def required(encoder: PromptEncoder) -> Operations:
    """Necessary operations of an exact computation for one context and all classes."""
    layout, packing, tower = encoder.layout, encoder.packing, encoder.tower
    d, layers = tower.width, tower.facts.layers
    tails, (_, prefix) = packing.tails, packing.prefix()
    rows, classes = packing.tail_entries + len(prefix), len(tails.leaves)
    slots = sum(row.entry < 0 for row in (*prefix, *tails.rows))
    linear = 2 * slots * 3 * d * d + counted.TextTower(d, layers, tower.embed_dim, literal=False).operations(
        rows, classes
    )
    padding = tails.padding * (len(packing.shared) + 1)
    _, before, own, shared = layout.tiling
    _, own_rows, shared_rows = (layout.mask == 0).split([before, own, shared], 1)
    pairs = int(own_rows.sum() + shared_rows[0].sum()) - padding
    asked = int(own_rows.flatten(0, 1)[list(tails.leaves)].sum())
    learned = len(prefix) * rows  # pairs of the first layer whose key depends on the context
    forward = 4 * d * ((layers - 1) * pairs + asked)
    backward = 8 * d * ((layers - 2) * pairs + asked) + 6 * d * learned
    return Operations(linear + forward, linear + backward)


def literal(classes: int, tower: TextTower) -> Operations:
    """Operations of the reference: all 77 tokens of every class with gradients in all layers (CoOp trainers/cocoop.py:183-189)."""
    d, layers, length = tower.width, tower.facts.layers, tower.facts.context_length
    linear = counted.TextTower(d, layers, tower.embed_dim, literal=True).operations(classes * length, classes)
    attention = classes * layers * length * length
    return Operations(linear + 4 * d * attention, linear + 8 * d * attention)
