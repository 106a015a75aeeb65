"""Products of rows with the towers' frozen matrices.

torch computes products in fp32 with MKL on an x86 CPU, and calls oneDNN, which it also brings, only from compiled code. For the
shapes of ViT-B/16's text tower, oneDNN is 10 to 30 % faster on an AMD EPYC (docs/performance.md).
"""

import platform
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

SMALLEST = 512 * 512  # elements of a matrix; smaller products gain less than it costs to call a Function
SCHEMA = (
    "mkldnn::_linear_pointwise(Tensor X, Tensor W, Tensor? B, str attr, Scalar?[] scalars, str? algorithm) -> Tensor Y"
)
UNCHANGED: tuple[str, list[float], str] = ("none", [], "")  # no function of the result


def _onednn() -> Callable[..., Tensor] | None:
    """torch's operation for a product by oneDNN. It is private, so only one with the known arguments is taken."""
    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():
        return None
    found = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    return found if found and str(found.default._schema) == SCHEMA else None


ONEDNN = _onednn()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x weight^T + bias, for rows x (..., in) and a frozen weight (out, in)."""
    if weight.numel() >= SMALLEST and ONEDNN and _plain(x, weight):
        return Product.apply(x, weight, bias)
    return F.linear(x, weight, bias)


def _plain(x: Tensor, weight: Tensor) -> bool:
    on_cpu = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
    return on_cpu and not weight.requires_grad and not torch.is_autocast_enabled("cpu")


class Product(Function):
    """`linear` by oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        assert ONEDNN is not None
        ctx.save_for_backward(weight)
        return ONEDNN(x, weight, bias, *UNCHANGED)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        assert ONEDNN is not None
        (weight,) = ctx.saved_tensors
        return ONEDNN(gradient, weight.T, None, *UNCHANGED), None, None
