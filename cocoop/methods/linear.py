"""Linear layers of several seeds at once."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cocoop.methods.base import like_linear
from cocoop.text.text_encoder import TextEncoder


class StackedLinear(nn.Module):
    """S parallel linear layers: weight (S, out, in), bias (S, out), initialised like torch.nn.Linear."""

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator], text: TextEncoder) -> None:
        super().__init__()
        self.weight = like_linear((outputs, inputs), inputs, generators, text)
        self.bias = like_linear((outputs,), inputs, generators, text)

    def forward(self, x: Tensor) -> Tensor:
        """(S or 1, B, in) -> (S, B, out)."""
        return torch.baddbmm(self.bias[:, None], x.expand(len(self.bias), -1, -1), self.weight.mT)
