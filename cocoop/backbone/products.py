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


def _onednn() -> Callable[..., Tensor] | None:
    """torch's operation for a product by oneDNN, where there is one."""
    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


ONEDNN = _onednn()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * bias + alpha * x weight^T for rows x (..., in) and a frozen weight (out, in). Factors need 2-D rows and a bias."""
    if weight.numel() >= SMALLEST and ONEDNN and _plain(x, weight):
        return Product.apply(x, weight, bias, beta, alpha)
    if bias is None or beta == alpha == 1:
        return F.linear(x, weight, bias)
    return torch.addmm(bias, x, weight.T, beta=beta, alpha=alpha)


def _plain(x: Tensor, weight: Tensor) -> bool:
    on_cpu = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
    return on_cpu and not weight.requires_grad and not torch.is_autocast_enabled("cpu")


class Product(Function):
    """`linear` by oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, beta: float, alpha: float) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.alpha = alpha
        if bias is not None and beta != 1:
            bias = beta * bias
        if alpha == 1:
            return _product(x, weight, bias)
        if _widens(weight):
            return _product(alpha * x, weight, bias)
        found = _product(x, weight).mul_(alpha)
        return found if bias is None else found.add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weight,), alpha = ctx.saved_tensors, ctx.alpha
        if alpha == 1:
            found = _product(gradient, weight.T)
        elif _widens(weight):
            found = _product(gradient, weight.T).mul_(alpha)
        else:
            found = _product(alpha * gradient, weight.T)
        return found, None, None, None, None


def _widens(weight: Tensor) -> bool:
    """Whether there are fewer inputs than outputs: the factor is for the shorter rows."""
    return weight.shape[1] < weight.shape[0]


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    assert ONEDNN is not None
    return ONEDNN(x, weight, bias, "none", [], "")
