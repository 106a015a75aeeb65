"""Random changes of the text tower of every kind, and the exact encoder beside the literal one under them."""

from collections.abc import Callable

import torch
from torch import Tensor

from cocoop.text.changes import LowRank, TextChanges
from cocoop.text.literal import LiteralEncoder
from cocoop.text.prompt_encoder import PromptEncoder
from cocoop.text.prompts import Prompts
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER, loss_of

Leaves = list[Tensor]
"""Tensors with gradients, of float64, drawn one behind the other."""
BOTTLENECK, RANK = 6, 2


class Draw:
    """Random changes for N contexts, C classes, M places and width D; `leaves` collects what a gradient must reach."""

    def __init__(self, n: int, classes: int, n_ctx: int, width: int, seed: int = 0) -> None:
        self.n, self.classes, self.n_ctx, self.width = n, classes, n_ctx, width
        self.generator = torch.Generator().manual_seed(seed)
        self.leaves: Leaves = []

    def leaf(self, *shape: int, scale: float = 0.5) -> Tensor:
        made = scale * torch.randn(self.n, *shape, generator=self.generator, dtype=torch.float64)
        self.leaves.append(made.requires_grad_())
        return made

    def context(self, shared: bool = True) -> Tensor:
        return self.leaf(*(() if shared else (self.classes,)), self.n_ctx, self.width)

    def prompts(self, *layers: int, shared: bool = True) -> dict[int, Tensor]:
        return {layer: self.context(shared) for layer in layers}

    def inserted(self, *layers: int, k: int = 3) -> dict[int, Tensor]:
        return {layer: self.leaf(k, self.width) for layer in layers}

    def adapters(self, *layers: int) -> dict[int, Callable[[Tensor, Tensor], Tensor]]:
        return {layer: self._adapter() for layer in layers}

    def low_rank(self, *layers: int, matrices: str = "qkvo", dropout: float = 0.0) -> dict[int, dict[str, LowRank]]:
        return {layer: {name: self._term(dropout, layer, name) for name in matrices} for layer in layers}

    def _adapter(self) -> Callable[[Tensor, Tensor], Tensor]:
        down, up = self.leaf(self.width, BOTTLENECK), self.leaf(BOTTLENECK, self.width)
        return lambda normed, out: out + 0.7 * torch.relu(normed @ down) @ up + 0.1 * torch.tanh(out @ down) @ up

    def _term(self, rate: float, layer: int, name: str) -> LowRank:
        number = 10 * layer + "qkvo".index(name)

        def drop(_: int, length: int) -> Tensor:
            shape = self.n, self.classes, 77, self.width
            draw = torch.rand(shape, generator=torch.Generator().manual_seed(number), dtype=torch.float64)
            return (draw[:, :, :length] >= rate) / (1 - rate)

        down, up = self.leaf(RANK, self.width), self.leaf(self.width, RANK)
        return LowRank(down, up, 2**-0.5, drop if rate else None)


def compare(
    model: torch.nn.Module,
    prompts: Prompts,
    context: Tensor,
    changes: TextChanges,
    leaves: Leaves,
    budget_mb: int = 2048,
    tolerance: float = 1e-10,
) -> PromptEncoder:
    """The exact encoder, which has the same features and gradients of all leaves as open_clip's own tower with hooks."""
    tower = TextTower.from_open_clip(model, TOKENIZER.sot, TOKENIZER.eot).in_precision("fp32")
    found = {}
    for name, encoder in {
        "literal": LiteralEncoder(model, prompts, tower.facts.context_length, TOKENIZER),
        "exact": PromptEncoder(tower, prompts, budget_mb),
    }.items():
        features = encoder(context, changes)
        gradients = torch.autograd.grad(loss_of(features), leaves)
        with torch.no_grad():
            close(encoder(context, changes), features, tolerance, f"{name} without gradients")
        found[name] = features, gradients
    close(found["exact"][0], found["literal"][0], tolerance, "features")
    for number, (one, other) in enumerate(zip(found["exact"][1], found["literal"][1], strict=True)):
        assert other.norm() > 0, f"leaf {number} has no gradient"
        close(one, other, tolerance, f"gradient of leaf {number}")
    return encoder


def close(found: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    assert found.shape == expected.shape, what
    assert (found - expected).norm() <= tolerance * expected.norm(), what
