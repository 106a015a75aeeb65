"""Batches of images, captions and their matches, and text features of captions at limited cost."""

from typing import NamedTuple

import numpy as np
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.model import CLIP

from cocoop.demo.pretraining import captions, scenes, vocabulary

BUCKETS = (12, 24, 48, vocabulary.CONTEXT_LENGTH)  # maximal tokens per caption in each bucket
MEAN = torch.tensor(OPENAI_DATASET_MEAN).view(3, 1, 1)
STD = torch.tensor(OPENAI_DATASET_STD).view(3, 1, 1)


class Batch(NamedTuple):
    """pictures: normalised images (B, 3, 64, 64). captions: rows in the reduced token embeddings. matches: bool (B, B)."""

    pictures: torch.Tensor
    captions: list[list[int]]
    matches: torch.Tensor


def draw(number: int, rng: np.random.Generator) -> Batch:
    """Draws `number` scenes with one caption each."""
    shown = [scenes.sample(rng) for _ in range(number)]
    pictures = torch.from_numpy(scenes.render(shown, rng)).permute(0, 3, 1, 2)  # channels last in memory
    described = [captions.describe(scene, rng) for scene in shown]
    rows = {token: row for row, token in enumerate(vocabulary.token_ids())}
    tokens = [[rows[token] for token in vocabulary.encode(caption.text)] for caption in described]
    return Batch((pictures - MEAN) / STD, tokens, torch.from_numpy(captions.matches(shown, described)))


def text_features(model: CLIP, tokens: list[list[int]]) -> torch.Tensor:
    """Unnormalised text features (B, E) at each caption's last token ([EOT]), encoded in buckets of similar length."""
    order, features = [], []
    lengths = [len(caption) for caption in tokens]
    for shortest, longest in zip((0, *BUCKETS), BUCKETS, strict=False):
        members = [index for index, length in enumerate(lengths) if shortest < length <= longest]
        if members:
            order += members
            features.append(_encode(model, [tokens[index] for index in members]))
    return torch.cat(features)[torch.tensor(order).argsort()]


def _encode(model: CLIP, tokens: list[list[int]]) -> torch.Tensor:
    """The tower is causal, so tokens after [EOT] have no effect and any padding works."""
    length = max(map(len, tokens))
    padded = torch.tensor([caption + [0] * (length - len(caption)) for caption in tokens])  # (B, L)
    hidden = model.token_embedding(padded) + model.positional_embedding[:length]  # (B, L, D)
    hidden = model.transformer(hidden, attn_mask=model.attn_mask[:length, :length])
    last = torch.tensor([len(caption) - 1 for caption in tokens])
    return model.ln_final(hidden[torch.arange(len(tokens)), last]) @ model.text_projection
