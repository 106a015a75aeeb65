"""What a method changes inside the frozen text tower, layer by layer. Layers are counted from 0, as in the authors' code.

Every tensor begins with N, the batch of contexts (seeds, or seeds times images); the gradient reaches all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cocoop.errors import UserError

MATRICES = ("q", "k", "v", "o")
Adapter = Callable[[Tensor, Tensor], Tensor]
"""(normed, out) -> what goes on to the next layer; all are (N, tokens, D).

normed: the first layer norm of the block's input; out: the block's output. An adapter must treat tokens one by one, because it
sees them in any order, and only those that matter: in the last layer EOT alone.
"""
Dropout = Callable[[int, int], Tensor]
"""(C, L) -> factors (N, C, L, D): 0, or 1 / (1 - p), for the L first tokens of C prompts. A second call gives the same ones."""


@dataclass(frozen=True)
class LowRank:
    """A low-rank term beside a frozen matrix: y = W x + b + scale * up (down (dropout * x)), as LoRA has it.

    down: (N, r, D); up: (N, D, r). With dropout no two prompts share a token's computation, as in CLIP-LoRA's own code.
    """

    down: Tensor
    up: Tensor
    scale: float = 1.0
    dropout: Dropout | None = None


def dropout(rate: float, seeds: Sequence[int], width: int, device: torch.device) -> Dropout:
    """Factors drawn from `seeds`, one for each of the batch: give other ones at every step, and for every matrix.

    Seeds of a batch are drawn one by one, so that they have the same factors together as alone.
    """

    def factors(classes: int, length: int) -> Tensor:
        draws = (torch.Generator(device).manual_seed(seed) for seed in seeds)
        kept = [torch.rand(classes, length, width, generator=draw, device=device) >= rate for draw in draws]
        return torch.stack(kept) / (1 - rate)

    return factors


class Form(NamedTuple):
    """Which tokens are alike at a layer, and so computed once.

    shared: a prompt's places of the context hold the same vectors for all classes; inserted: K, tokens put in behind SOS;
    live: tokens in front of the context depend on what is learned, too; apart: prompts share nothing at all.
    """

    shared: bool
    inserted: int = 0
    live: bool = False
    apart: bool = False


@dataclass(frozen=True)
class TextChanges:
    """By layer; a method gives those it has.

    prompts: what takes the places of the context at the input of a layer, (N, M, D), or (N, C, M, D) when class-specific (MaPLe,
    IVLP, TCP); weight: w in w * prompts + (1 - w) * what is there.

    inserted: K tokens (N, K, D) that are put in behind SOS at the input of the first of these layers, and replaced at the
    others (MMRL). Tokens behind them see them; they see SOS and each other, causally, and have no position.

    adapters: by layer, applied to its output, for the whole batch at once (MMA); low_rank: by layer, then by matrix: q, k, v or o
    (CLIP-LoRA).
    """

    prompts: Mapping[int, Tensor] = field(default_factory=dict)
    weight: float = 1.0
    inserted: Mapping[int, Tensor] = field(default_factory=dict)
    adapters: Mapping[int, Adapter] = field(default_factory=dict)
    low_rank: Mapping[int, Mapping[str, LowRank]] = field(default_factory=dict)

    def check(self, layers: int, classes: int, context: Tensor) -> None:
        """Raises UserError for a layer the tower does not have, ValueError for shapes that do not fit context and classes."""
        for what, changed in self._by_layer().items():
            for layer in changed:
                if layer not in range(layers):
                    raise UserError(
                        f"{what} at text layer {layer}: the backbone's text tower has layers 0 to {layers - 1}; "
                        "choose other layers or another backbone."
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
        """Those of a part [start, stop) of the batch. Adapters see the whole batch only: there are none."""

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
        """(layer, form) pairs: the form that the tokens have from a layer's input on. The first is that of the context itself.

        shared: one context for all classes.
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
