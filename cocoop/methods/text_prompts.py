"""Learned tokens at several layers of the text tower (multimodal-prompt-learning clip/model.py:191-331)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from cocoop.methods.context import drawn, initial_context, refuse_depth
from cocoop.text.changes import TextChanges
from cocoop.text.prompts import spoken
from cocoop.text.text_encoder import TextEncoder


class TextPrompts(nn.ParameterList):
    """Tokens (S, M, D) of text layers 0 to depth - 1, in front of the class name.

    Those of layer 0 are the context of the prompt; at the input of each further layer, new tokens replace them. After the last
    one they go on like any token. The first M of the initial words give the context's start, and words beyond them stay in the
    prompt as they are: "a photo of a NAME." with two tokens is "v1 v2 of a NAME." (trainers/maple.py:82-124). The others are
    random, and so is the context without words.
    """

    def __init__(
        self, text: TextEncoder, generators: Sequence[torch.Generator], n_ctx: int, depth: int, words: str | None
    ) -> None:
        refuse_depth(depth, "text", text.layers)
        first = " ".join(spoken(words).split(" ")[:n_ctx]) if words else None
        context = initial_context(text, generators, n_ctx, first)
        super().__init__([context, *(drawn((n_ctx, text.width), generators, text) for _ in range(depth - 1))])
        self.text, self.words = text, words

    def features(self, classnames: Sequence[str]) -> Callable[[], Tensor]:
        """A function that computes the text features (S, C, E) of classes, not normalised."""
        context, *deep = self
        encoder = self.text.encoder(self.text.learnable(classnames, context.shape[1], words=self.words))
        return lambda: encoder(context, TextChanges(prompts=dict(enumerate(deep, 1))))
