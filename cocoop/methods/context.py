"""Initial context vectors, as in the reference."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cocoop.errors import UserError
from cocoop.text.text_encoder import TextEncoder

RANDOM_STD = 0.02  # coop.py:90


def initial_context(
    text: TextEncoder,
    generators: Sequence[torch.Generator],
    contexts: int,
    words: str | None,
    classes: int | None = None,
) -> nn.Parameter:
    """Context vectors (S, M, D), or (S, C, M, D) with `classes`: embeddings of the words, or else normal with std 0.02."""
    if words:
        context = text.embedded_words(words, contexts)  # (M, D)
        many = context if classes is None else context.expand(classes, -1, -1)
        return nn.Parameter(torch.stack([many.clone() for _ in generators]))
    shape = (contexts, text.width) if classes is None else (classes, contexts, text.width)
    return drawn(shape, generators, text)


def drawn(shape: tuple[int, ...], generators: Sequence[torch.Generator], text: TextEncoder) -> nn.Parameter:
    """A tensor (S, *shape), normal with std 0.02."""
    values: list[Tensor] = [RANDOM_STD * torch.randn(shape, generator=g) for g in generators]
    return nn.Parameter(torch.stack(values).to(text.device, text.dtype))


def refuse_depth(depth: int, tower: str, layers: int) -> None:
    """Raises a UserError if a tower has fewer layers than new prompts."""
    if depth > layers:
        raise UserError(
            f"new prompts at {depth} layers, but the backbone's {tower} tower has {layers}; take a depth from 1 to {layers}, "
            "or another backbone."
        )
