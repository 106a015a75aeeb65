"""Floating-point operations: those that must be done, counted from the packing, and those of the literal computation.

A product of (a, b) and (b, c) counts 2abc. Norms, activations, softmax and the logits are not counted (under 1 %).

Must be done, per context, with T tail entries (common beginnings once), P prefix entries that depend on the context, C
distinct classes, width D and A pairs of a row and a key it sees:

    first layer     3 D^2 for each context vector (all other projections are constants), 9 D^2 for each of T + P (output, MLP)
    other layers    12 D^2 for each of T + P
    last layer      2 D^2 for each of T + P (keys and values), 10 D^2 for each of C (query, output, MLP), D E for each of C
    attention       4 D for each of A in every layer; in the last layer only EOT asks

The backward pass computes the gradient of every product's input and none of a weight, so linear layers count once more,
and attention, with four products instead of two, 8 D. In the first layer only the context has a gradient: 6 D for each pair
whose key depends on it.
"""

from typing import NamedTuple

from cocoop.text.prompt_encoder import PromptEncoder
from cocoop.text.tower import TextTower


class Operations(NamedTuple):
    """Of one context: forward pass, and backward pass without gradients of weights."""

    forward: int
    backward: int

    def of(self, work: str) -> int:
        """Of a training step, or of an evaluation, which has no backward pass."""
        return self.forward + self.backward if work == "train" else self.forward


def required(encoder: PromptEncoder) -> Operations:
    """What an exact computation cannot leave out, for one context and all classes."""
    layout, packing, tower = encoder.layout, encoder.packing, encoder.tower
    d, layers = tower.width, tower.facts.layers
    tails, (_, prefix) = packing.tails, packing.prefix()
    rows, classes = packing.tail_entries + len(prefix), len(tails.leaves)
    slots = sum(row.entry < 0 for row in (*prefix, *tails.rows))
    linear = slots * 3 * d * d + rows * 9 * d * d  # first layer
    linear += (layers - 2) * rows * 12 * d * d
    linear += rows * 2 * d * d + classes * (10 * d * d + d * tower.embed_dim)  # last layer
    padding = tails.padding * (len(packing.shared) + 1)
    pairs = int((layout.mask == 0).sum() + (layout.prefix_mask == 0).sum()) - padding
    asked = int((layout.mask.flatten(0, 1)[layout.leaves] == 0).sum())
    learned = len(prefix) * rows  # pairs of the first layer whose key depends on the context
    forward = 4 * d * ((layers - 1) * pairs + asked)
    backward = 8 * d * ((layers - 2) * pairs + asked) + 6 * d * learned
    return Operations(2 * linear + forward, 2 * linear + backward)


def literal(classes: int, tower: TextTower) -> Operations:
    """The reference's: all 77 tokens of every class, and their gradients, in every layer (CoOp trainers/cocoop.py:183-189)."""
    d, layers, length = tower.width, tower.facts.layers, tower.facts.context_length
    linear = classes * (layers * length * 12 * d * d + d * tower.embed_dim)
    attention = classes * layers * length * length
    return Operations(2 * linear + 4 * d * attention, 2 * linear + 8 * d * attention)
