"""The encoder of a training step is one graph, forward and backward, and computes the same when compiled."""

import pytest
import torch

from cocoop.cli.arguments import compiled
from cocoop.clip.prompt_encoder import PromptEncoder
from cocoop.clip.prompts import learnable
from cocoop.clip.text import TextSide
from cocoop.clip.text_tower import TextTower
from cocoop.errors import UserError
from tests.oracle import TOKENIZER, loss_of, text_model

NAMES = ["cat", "wild cat", "german shorthaired pointer", "face"]


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(0)
    return TextTower.from_open_clip(text_model(32, 2, 2), TOKENIZER.sot, TOKENIZER.eot)


def same(plain, fast, context):
    one, other = context.clone().requires_grad_(), context.clone().requires_grad_()
    expected, found = plain(one), fast(other)
    loss_of(expected).backward()
    loss_of(found).backward()
    assert (found - expected).norm() <= 1e-5 * expected.norm()
    assert (other.grad - one.grad).norm() <= 1e-5 * one.grad.norm()


@pytest.mark.parametrize("budget", [0, 2048])
def test_one_graph(tower, budget):
    torch.compiler.reset()
    plain = PromptEncoder(tower, learnable(TOKENIZER, 77, NAMES, 4), budget)
    same(plain, torch.compile(plain, fullgraph=True, backend="aot_eager"), torch.randn(2, 4, 32))


@pytest.mark.slow
def test_compiled_text_side(tower):
    torch.compiler.reset()
    plain, fast = (TextSide.fast(tower, compiled=asked) for asked in (False, True))
    prompts = plain.learnable(NAMES, 4)
    same(plain.encoder(prompts), fast.encoder(prompts), torch.randn(1, 4, 32))


def test_switch(monkeypatch):
    assert not compiled()
    monkeypatch.setenv("COCOOP_COMPILE", "1")
    assert compiled()
    monkeypatch.setenv("COCOOP_COMPILE", "yes")
    with pytest.raises(UserError, match="COCOOP_COMPILE: 'yes' is neither 0 nor 1"):
        compiled()
