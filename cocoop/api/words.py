"""The words nearest to learned context vectors, as in the CoOp authors' interpret_prompt.py."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor

from cocoop.api.embeddings import by_vector
from cocoop.errors import UserError, listed
from cocoop.methods.text_prompts import TextPrompts
from cocoop.text.text_encoder import TextEncoder

if TYPE_CHECKING:
    from cocoop.api.prompt import Prompt

COLUMNS = ("prompt", "vector", "rank", "word", "distance")
MEANING = (
    "Euclidean distances of the context vectors to the token embeddings. A near word is not the meaning of a vector: the text "
    "tower was never trained on vectors between words, and CoOp's authors found that nearest words together make little sense."
)


def nearest(prompt: "Prompt", k: int = 5) -> pd.DataFrame:
    """The k nearest words of each context vector: one row each, with the columns prompt, vector, rank, word and distance.

    vector: its place in the prompt, from 1. prompt: the class of a class-specific context, or the number of one of several
    prompts; empty if there is one context. Tokens that share one vector count once. CoCoOp's context is the one before the
    Meta-Net's shift. Raises a UserError for a method without context vectors.
    """
    if not isinstance(k, int) or k < 1:
        raise UserError(f"words: expected a number >= 1, got {k!r}.")
    text = prompt.towers.text
    tokens = list(by_vector(text.table).values())
    table = text.table[[same[0] for same in tokens]].float()  # (distinct vectors, D)
    rows = []
    for name, vectors in contexts(prompt):
        distances, order = torch.cdist(vectors.float(), table, compute_mode="donot_use_mm_for_euclid_dist").topk(
            min(k, len(table)), largest=False
        )
        for number, (near, which) in enumerate(zip(distances.tolist(), order.tolist(), strict=True), 1):
            rows += [
                (name, number, rank, word(text, tokens[place]), distance)
                for rank, (distance, place) in enumerate(zip(near, which, strict=True), 1)
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def contexts(prompt: "Prompt") -> Iterator[tuple[str, Tensor]]:
    """Each context (M, D) with its name: those of the first layer, which stand where words would stand."""
    tensors = prompt.tensors
    names = [f"{name}.0" for name, part in prompt.method.named_modules() if isinstance(part, TextPrompts)]
    found = [tensors[name] for name in ("ctx", *names) if name in tensors]
    found = [tensor for tensor in found if tensor.ndim in (2, 3) and tensor.shape[-1] == prompt.towers.text.width]
    if not found:
        raise UserError(
            f"{prompt.recipe.variant}: learns no context vectors, so there are no nearest words; its tensors are "
            f"{listed(tensors)}."
        )
    for tensor in found:
        if tensor.ndim == 2:
            yield "", tensor
            continue
        of_classes = prompt.recipe.params.get("csc") and len(tensor) == len(prompt.classnames)
        labels = prompt.classnames if of_classes else [f"prompt {number}" for number in range(1, len(tensor) + 1)]
        yield from zip(labels, tensor, strict=True)


def word(text: TextEncoder, same: list[int]) -> str:
    """A token as text: `dog`, a part of a word as `do..`; and how many others share its vector."""
    inner = text.tokenizer.inner
    raw = inner.decoder[same[0]] if hasattr(inner, "decoder") else inner.tokenizer.convert_ids_to_tokens(same[0])
    plain = raw.removesuffix("</w>") if raw.endswith("</w>") or raw.startswith("<") else f"{raw}.."
    return plain if len(same) == 1 else f"{plain} (and {len(same) - 1:,} others with the same vector)"
