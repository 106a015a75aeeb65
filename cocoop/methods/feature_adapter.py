"""The adapter behind a tower that CLIP-Adapter introduced."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.methods.base import like_linear
from cocoop.text.text_encoder import TextEncoder


class FeatureAdapter(nn.Module):
    """f' = ratio * relu(W2 relu(W1 f)) + (1 - ratio) * f for features f (CLIP-Adapter clip_adapter.py:55-67,104-110).

    ratio: share of the network's output; reduction: hidden width is the feature's divided by this. Both layers are free of
    biases and start as torch's own Linear.
    """

    def __init__(self, text: TextEncoder, generators: Sequence[torch.Generator], ratio: float, reduction: int) -> None:
        super().__init__()
        self.ratio, width = ratio, text.embed_dim
        hidden = max(1, width // reduction)
        self.down = like_linear((hidden, width), width, generators, text)
        self.up = like_linear((width, hidden), hidden, generators, text)

    def forward(self, features: Tensor) -> Tensor:
        """(S, N, E) -> (S, N, E)."""
        change = F.relu(F.relu(features @ self.down.mT) @ self.up.mT)
        return self.ratio * change + (1 - self.ratio) * features
