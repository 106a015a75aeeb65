"""A method's changes inside the frozen text tower, by layer. Layers count from 0, as in the authors' code.

The first dimension of every tensor is N, the batch of contexts (seeds, or seeds times images). All tensors receive gradients.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cocoop.errors import UserError

MATRICES = ("q", "k", "v", "o")
Adapter = Callable[[Tensor, Tensor], Tensor]
"""(normed, out) -> input of the next layer; all are (N, tokens, D).

normed: the block's input after its first layer norm; out: the block's output. An adapter must treat each token separately, because
it receives tokens in any order, and only the ones that matter: in the last layer only EOT.
"""
Dropout = Callable[[int, int], Tensor]
"""(C, L) -> factors (N, C, L, D), 0 or 1 / (1 - p), for the first L tokens of C prompts. Repeated calls give the same factors."""


@dataclass(frozen=True)
class LowRank:
    """A low-rank term added to a frozen matrix, as in LoRA: y = W x + b + scale * up (down (dropout * x)).

    down: (N, r, D); up: (N, D, r).
    With dropout, prompts cannot share the computation of a token, as in the authors' code of CLIP-LoRA.
    """

    down: Tensor
    up: Tensor
    scale: float = 1.0
    dropout: Dropout | None = None


def dropout(rate: float, seeds: Sequence[int], width: int, device: torch.device) -> Dropout:
    """Dropout factors drawn from `seeds`, one seed per element of the batch. Use new seeds in every step and for every matrix.

    Each seed has its own generator, so it gets the same factors in any batch.
    """

    def factors(classes: int, length: int) -> Tensor:
        draws = (torch.Generator(device).manual_seed(seed) for seed in seeds)
        kept = [torch.rand(classes, length, width, generator=draw, device=device) >= rate for draw in draws]
        return torch.stack(kept) / (1 - rate)

    return factors


class Form(NamedTuple):
    """Which tokens of prompts are equal at a layer and therefore computed once.

    Attributes:
        shared: whether all classes have the same context vectors.
        inserted: K, number of tokens inserted after SOS.
        live: whether tokens before the context also depend on learned tensors.
        apart: whether prompts share nothing.
    """

    shared: bool
    inserted: int = 0
    live: bool = False
    apart: bool = False


@dataclass(frozen=True)
class TextChanges:
    """A method's changes by layer.

    prompts: vectors that replace the context at the input of a layer, (N, M, D), or (N, C, M, D) if class-specific (MaPLe,
        IVLP, TCP).
    weight: w in w * prompts + (1 - w) * replaced vectors.

    inserted: K tokens (N, K, D) that are inserted after SOS at the input of the first of these layers and replaced at the
        others (MMRL). They attend causally to SOS and each other, later tokens attend to them, and they have no position.

    adapters: functions applied to the output of a layer for the whole batch (MMA).
    low_rank: by layer, then by matrix: q, k, v or o (CLIP-LoRA).
    """

    prompts: Mapping[int, Tensor] = field(default_factory=dict)
    weight: float = 1.0
    inserted: Mapping[int, Tensor] = field(default_factory=dict)
    adapters: Mapping[int, Adapter] = field(default_factory=dict)
    low_rank: Mapping[int, Mapping[str, LowRank]] = field(default_factory=dict)

    def check(self, layers: int, classes: int, context: Tensor) -> None:
        """Raises a UserError for a layer that the tower does not have, and a ValueError for shapes that do not match."""
        for what, changed in self._by_layer().items():
            for layer in changed:
                if layer not in range(layers):
                    raise UserError(
                        f"{what} at text layer {layer}: the backbone's text tower has layers 0 to {layers - 1}; "
                        "use other layers or another backbone."
                    )
        if 0 in self.prompts:
            raise ValueError("prompts at layer 0 are the context itself")
        n, m, d = context.shape[0], *context.shape[-2:]
        k = next(iter(self.inserted.values())).shape[1] if self.inserted else 0
        expected = [(t, (n, m, d) if t.ndim == 3 else (n, classes, m, d)) for t in self.prompts.values()]
        expected += [(t, (n, k, d)) for t in self.inserted.values()]
        for term in (term for terms in self.low_rank.values() for term in terms.values()):
            rank = term.down.shape[1]
            expected += [(term.down, (n, rank, d)), (term.up, (n, d, rank))]
        for tensor, shape in expected:
            if tuple(tensor.shape) != shape:
                raise ValueError(f"a change of shape {tuple(tensor.shape)}, expected {shape}")
        if unknown := {matrix for terms in self.low_rank.values() for matrix in terms} - set(MATRICES):
            raise ValueError(f"low_rank: {sorted(unknown)} are not among {MATRICES}")

    def part(self, start: int, stop: int) -> "TextChanges":
        """The changes for a part [start, stop) of the batch, without adapters, which need the whole batch."""

        def of(term: LowRank) -> LowRank:
            drop = term.dropout
            cut = (lambda classes, length: drop(classes, length)[start:stop]) if drop else None
            return replace(term, down=term.down[start:stop], up=term.up[start:stop], dropout=cut)

        return replace(
            self,
            prompts={layer: t[start:stop] for layer, t in self.prompts.items()},
            inserted={layer: t[start:stop] for layer, t in self.inserted.items()},
            low_rank={layer: {m: of(term) for m, term in terms.items()} for layer, terms in self.low_rank.items()},
        )

    def forms(self, shared: bool) -> tuple[tuple[int, Form], ...]:
        """(layer, form) pairs: the form of the tokens from a layer's input on. The first pair is the context's form at layer 0.

        shared: whether all classes have the same context.
        """
        inserted = next((t.shape[1] for t in self.inserted.values()), 0)
        own = [layer for layer, t in self.prompts.items() if t.ndim == 4]
        apart = [layer for layer, terms in self.low_rank.items() if any(t.dropout for t in terms.values())]
        starts = {
            "shared": min(own) if own and shared else None,
            "inserted": min(self.inserted, default=None),
            "live": min([*self.adapters, *self.low_rank], default=None),
            "apart": min(apart, default=None),
        }
        base = form = Form(shared)
        found: dict[int, Form] = {}
        values: dict[str, Any] = {"shared": False, "inserted": inserted, "live": True, "apart": True}
        for name, layer in sorted(((n, at) for n, at in starts.items() if at is not None), key=lambda pair: pair[1]):
            form = form._replace(**{name: values[name]})
            found[layer] = form
        return ((0, base), *found.items())

    def _by_layer(self) -> dict[str, Mapping[int, Any]]:
        return {
            "prompts": self.prompts,
            "inserted tokens": self.inserted,
            "adapters": self.adapters,
            "low-rank terms": self.low_rank,
        }


UNCHANGED = TextChanges()
