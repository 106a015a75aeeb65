"""The frozen image tower as plain tensors, for the encoder that methods can change (`vision.py`).

It supports vision transformers of open_clip and timm with CLIP's layers: layer norm, attention, layer norm, MLP, and an optional
scale of each branch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.backbone.products import linear

Rows = Callable[[Tensor], Tensor]  # a function of tokens (..., D) that treats each token separately


@dataclass(frozen=True)
class Affine:
    """A matrix (out, in) and its bias (out)."""

    weight: Tensor
    bias: Tensor | None

    @classmethod
    def of(cls, linear: nn.Linear) -> "Affine":
        return cls(linear.weight.detach(), None if linear.bias is None else linear.bias.detach())

    def part(self, index: int, parts: int) -> "Affine":
        """One of the matrices that are stacked in this one."""
        return Affine(self.weight.chunk(parts)[index], None if self.bias is None else self.bias.chunk(parts)[index])

    def to(self, dtype: torch.dtype) -> "Affine":
        return Affine(self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype))

    def __call__(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out)."""
        return linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class Norm:
    """A layer norm. Like CLIP's, it computes in the precision of its weights and returns the precision of its input."""

    weight: Tensor
    bias: Tensor | None
    epsilon: float

    def __call__(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x.to(self.weight.dtype), x.shape[-1:], self.weight, self.bias, self.epsilon)
        return normed.to(x.dtype)


@dataclass(frozen=True)
class Layer:
    """A residual layer: x + scale_1 attention(norm_1 x), then x + scale_2 MLP(norm_2 x).

    Attributes:
        qkv: (3D, D).
        fc, proj: (4D, D) and (D, 4D).
        activation: the activation function between fc and proj.
        quick: whether this is QuickGELU.
    """

    heads: int
    norm_1: Rows
    norm_2: Rows
    qkv: Affine
    out: Affine
    fc: Affine
    proj: Affine
    activation: Rows
    quick: bool = False
    scale_1: Tensor | None = None
    scale_2: Tensor | None = None


@dataclass(frozen=True)
class VisionTower:
    """A frozen image tower.

    Attributes:
        width: D, the size of a token.
        embed_dim: E, the size of a feature.
        embed: pixels (B, 3, H, W) -> class token and patches (B, 1 + P, D) with positions, before ln_pre.
        norm_tokens: final norm of all tokens; the identity if norm_pooled is used.
        norm_pooled: final norm of the pooled token; the identity if norm_tokens is used.
        mean_pool: whether the feature is the mean over the patches instead of the class token.
        head: (E, D); None for the identity.
    """

    width: int
    embed_dim: int
    embed: Callable[[Tensor], Tensor]
    ln_pre: Rows
    layers: Sequence[Layer]
    norm_tokens: Rows
    norm_pooled: Rows
    mean_pool: bool
    head: Affine | None

    def project(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., E)."""
        return x if self.head is None else self.head(x)
