"""The encoder of a training step is one graph, forward and backward, and computes the same when compiled."""

import pytest
import torch

from cocoop.cli.arguments import compiled
from cocoop.errors import UserError
from cocoop.text import compiling
from cocoop.text.compiling import for_training
from cocoop.text.prompt_encoder import PromptEncoder
from cocoop.text.prompts import learnable
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
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
    plain = TextEncoder.fast(tower)
    fast = for_training(plain, 1, "on")
    prompts = plain.learnable(NAMES, 4)
    same(plain.encoder(prompts), fast.encoder(prompts), torch.randn(1, 4, 32))


@pytest.mark.parametrize(
    "steps, seeds, expected", [(10, 1, False), (60_000, 1, False), (200_000, 1, True), (60_000, 9, False)]
)
def test_auto_compiles_long_trainings_whatever_seeds_they_share(tower, monkeypatch, steps, seeds, expected):
    torch.compiler.reset()
    asked = []
    monkeypatch.setattr(torch, "compile", lambda encoder, **options: asked.append(options) or encoder)
    monkeypatch.setattr(compiling, "_compiler", lambda: "c++")
    plain = TextEncoder.fast(tower)
    encoder = for_training(plain, steps, "auto").encoder(plain.learnable(NAMES, 4))
    for _ in range(2):
        encoder(torch.randn(seeds, 4, 32))
    assert len(asked) == expected


def test_auto_does_without_where_no_compiler_is(tower, monkeypatch):
    monkeypatch.setattr(compiling, "_compiler", lambda: None)
    plain = TextEncoder.fast(tower)
    encoder = for_training(plain, 10**9, "auto").encoder(plain.learnable(NAMES, 4))
    encoder(torch.randn(1, 4, 32))
    assert encoder.run is encoder.encoder


def test_switch(monkeypatch):
    assert compiled() == "auto"
    monkeypatch.setenv("COCOOP_COMPILE", "on")
    assert compiled() == "on"
    monkeypatch.setenv("COCOOP_COMPILE", "yes")
    with pytest.raises(UserError, match="COCOOP_COMPILE: 'yes' is none of auto, on, off"):
        compiled()
