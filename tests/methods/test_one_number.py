"""Learned tensors of shape (S,): methods that put all of a seed's numbers into one vector take them like any other."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cocoop.methods.base import Task
from cocoop.methods.prograd import ProGrad
from cocoop.methods.promptsrc import PromptSRC
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER, text_model


@pytest.fixture(scope="module")
def text():
    torch.manual_seed(0)
    return TextEncoder.fast(TextTower.from_open_clip(text_model(32, 2, 2), TOKENIZER.sot, TOKENIZER.eot))


def test_prograd_turns_the_gradient_of_all_numbers(text):
    options = {"n_ctx": 2, "from_template": False, "loss_t": 1.0, "loss_lambda": 1.0}
    method = ProGrad(Task(text, (1, 2), ("cat", "dog"), ("{}",), "{}"), **options)
    method.factor = nn.Parameter(torch.tensor([1.0, 2.0]))
    parameters = list(method.learned_parameters().values())
    draw = torch.Generator().manual_seed(0)
    towards, general = ([torch.randn(p.shape, generator=draw) for p in parameters] for _ in range(2))

    def loss(gradients):
        return sum((p * g).reshape(2, -1).sum(1) for p, g in zip(parameters, gradients, strict=True))

    method.backward({"cross_entropy": loss(towards), "general": loss(general)})
    flat, other = (torch.cat([g.reshape(2, -1) for g in gradients], 1) for gradients in (towards, general))
    unit = F.normalize(other, dim=1)
    expected = flat - (flat * unit).sum(1, keepdim=True).clamp(max=0) * unit
    torch.testing.assert_close(torch.cat([p.grad.reshape(2, -1) for p in parameters], 1), expected)


def test_promptsrc_averages_all_numbers():
    learned = {"factor": torch.tensor([1.0, 2.0]), "ctx": torch.tensor([[[3.0, 4.0]], [[5.0, 6.0]]])}
    found = PromptSRC.flat(SimpleNamespace(learned_parameters=lambda: learned))
    assert found.tolist() == [[1, 3, 4], [2, 5, 6]]
