"""The literal path cuts its work by the memory budget, to the same numbers, and never waits for the device."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from cocoop.text.literal import LiteralEncoder
from cocoop.text.prompts import learnable
from tests.oracle import TOKENIZER
from tests.text import towers
from tests.text.test_literal import NAMES, custom


@pytest.mark.parametrize("shared", [True, False])
def test_pieces_give_the_same_result(shared):
    model = custom(no_causal_mask=True)
    encoder = LiteralEncoder(model, learnable(TOKENIZER, 77, NAMES, 4, shared=shared), 77, TOKENIZER)
    draw = torch.Generator().manual_seed(0)
    shape = (3, 4, 32) if shared else (3, len(NAMES), 4, 32)
    whole, parts = (torch.randn(shape, generator=draw.manual_seed(0)).requires_grad_() for _ in range(2))
    expected = encoder(whole)
    expected.square().sum().backward()
    for budget, prompts in {
        1: 2,
        2: 4,
        3: 6,
    }.items():  # a prompt keeps 20 vectors in 2 layers for 77 tokens: 0.39 MB
        encoder.budget_mb, parts.grad = budget, None
        calls = counted(model)
        found = encoder(parts)
        assert calls and max(calls) <= prompts
        found.square().sum().backward()
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(parts.grad, whole.grad, rtol=1e-4, atol=1e-6)


def counted(model) -> list[int]:
    """Prompts in each pass through the text tower from now on."""
    calls: list[int] = []
    model.text.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0])))
    return calls


def test_a_step_never_waits_for_the_device():
    """Fake tensors have no values: whatever would read one on the host, or make a shape of it, raises."""
    model = custom(no_causal_mask=True)
    encoder = LiteralEncoder(model, learnable(TOKENIZER, 77, NAMES, 4), 77, TOKENIZER)
    with FakeTensorMode(allow_non_fake_inputs=True):
        context = torch.randn(2, 4, 32, requires_grad=True)
        found = encoder(context)
        found.sum().backward()
    assert found.shape == (2, len(NAMES), 32) and context.grad.shape == context.shape


def test_the_budget_reaches_the_encoder(tmp_path):
    side, _ = towers.side(towers.spec(tmp_path, "odd_budget", {"pool_type": "last"}), tmp_path, budget_mb=7)
    assert side.encoder(side.learnable(NAMES, 2)).budget_mb == 7


@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize("odd", [{"no_causal_mask": True}, {"embed_cls": True}, {"qk_norm": True}], ids=str)
def test_a_step_keeps_what_the_budget_allows(odd, quick_gelu):
    model, held = custom(model={"quick_gelu": quick_gelu}, **odd), {}
    encoder = LiteralEncoder(model, learnable(TOKENIZER, 77, NAMES, 4), 77, TOKENIZER, budget_mb=4)
    constants = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers(), *encoder.buffers())}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in constants:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    images = encoder._prompts_at_once() // len(NAMES)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        kept_alive = encoder(torch.randn(images, 4, 32, requires_grad=True))
    assert kept_alive.shape[0] > 1 and 0.4 * 4 < sum(held.values()) / 2**20 <= 4
