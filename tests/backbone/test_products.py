"""Products by oneDNN are torch's own, to rounding, forward and backward."""

import platform

import pytest
import torch
import torch.nn.functional as F

from cocoop.backbone import products

WIDE = (2048, 512)
X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="oneDNN's product is for x86 CPUs")


def taken(out: torch.Tensor) -> bool:
    return type(out.grad_fn).__name__ == "ProductBackward"


@X86
@pytest.mark.parametrize("rows", [(1,), (46,), (3, 7)])
@pytest.mark.parametrize("shape", [WIDE, WIDE[::-1], (512, 512)])
def test_results_and_gradients_are_those_of_torch(rows, shape):
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(shape, generator=generator) / 22, torch.randn(shape[0], generator=generator)
    x = torch.randn(*rows, shape[1], generator=generator).requires_grad_()
    out = products.linear(x, weight, bias)
    assert taken(out)
    wanted_in = torch.randn(out.shape, generator=generator)
    (found,) = torch.autograd.grad(out, x, wanted_in)
    exact = x.detach().double().requires_grad_()
    expected = F.linear(exact, weight.double(), bias.double())
    (gradient,) = torch.autograd.grad(expected, exact, wanted_in.double())
    assert torch.allclose(out.double(), expected, rtol=1e-5, atol=1e-4)
    assert torch.allclose(found.double(), gradient, rtol=1e-5, atol=1e-4)


@X86
def test_rows_need_not_be_contiguous():
    weight, x = torch.randn(WIDE) / 22, torch.randn(512, 9).T.requires_grad_()
    out = products.linear(x, weight, None)
    assert taken(out)
    (gradient,) = torch.autograd.grad(out, x, torch.ones(2048, 9).T)
    assert torch.allclose(out, F.linear(x, weight), atol=1e-4)
    assert torch.allclose(gradient, weight.sum(0).expand(9, -1), atol=1e-3)


@X86
def test_an_operation_with_other_arguments_is_not_taken(monkeypatch):
    assert products._onednn() is products.ONEDNN is not None
    monkeypatch.setattr(products, "SCHEMA", products.SCHEMA.replace("Tensor? B, ", ""))
    assert products._onednn() is None


@pytest.mark.parametrize("case", ["small", "double", "autocast", "trained", "elsewhere"])
def test_all_else_is_left_to_torch(case, monkeypatch):
    weight = torch.randn((64, 32) if case == "small" else WIDE)
    weight = weight.double() if case == "double" else weight.requires_grad_(case == "trained")
    x = torch.randn(5, weight.shape[1], dtype=weight.dtype).requires_grad_()
    if case == "elsewhere":
        monkeypatch.setattr(products, "ONEDNN", None)
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"):
        out, expected = products.linear(x, weight, None), F.linear(x, weight)
    assert not taken(out)
    assert torch.equal(out, expected)
