"""Half-width precisions of the exact encoder stay close to fp32, and leave the type of what is learned alone."""

import copy

import pytest
import torch
import torch.nn.functional as F

from cocoop.methods.base import Task
from cocoop.methods.cocoop import CoCoOp
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import LINEAR_TENSORS, TextTower
from cocoop.training.loop import autocast
from tests.oracle import TOKENIZER, text_model

NAMES = ["cat", "wild cat", "german shorthaired pointer", "face", "tree frog", "2012 Tesla Model S Sedan"]
LEARNED = {"fp32": torch.float32, "bf16": torch.float32, "fp16": torch.float32, "reference-fp16": torch.float16}
TOLERANCE = {"bf16": 3e-2, "fp16": 4e-3, "reference-fp16": 2e-2}  # three significant digits in fp16, two in bf16


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(0)
    return TextTower.from_open_clip(text_model(64, 3, 4, embed=64), TOKENIZER.sot, TOKENIZER.eot)


def step(tower, precision, cast):
    """Logits (1, 3, C) and gradients; `cast`: weights cast once beforehand, else by autocast at each use."""
    text = TextEncoder.fast(copy.deepcopy(tower).in_precision(precision if cast else "fp32"))
    method = CoCoOp(Task(text, (1,)), n_ctx=4, ctx_init="a photo of a", reduction=4)
    draw = torch.Generator().manual_seed(1)
    image = torch.randn(1, 3, 64, generator=draw).to(text.dtype)
    classifier = method.for_classes(NAMES)
    with autocast(precision, image.device):
        logits = classifier(image)
        loss = F.cross_entropy(logits.flatten(0, 1), torch.tensor([0, 3, 5]))
    loss.backward()
    assert {p.dtype for p in method.parameters()} == {p.grad.dtype for p in method.parameters()} == {LEARNED[precision]}
    return logits.detach().float(), {name: p.grad.float() for name, p in method.named_parameters()}


@pytest.mark.parametrize(
    ("precision", "cast"), [("bf16", True), ("bf16", False), ("fp16", True), ("fp16", False), ("reference-fp16", True)]
)
def test_close_to_single_precision(tower, precision, cast):
    expected, gradients = step(tower, "fp32", True)
    found, rough = step(tower, precision, cast)
    assert 0 < (found - expected).norm() <= TOLERANCE[precision] * expected.norm()
    for name, gradient in gradients.items():
        assert (rough[name] - gradient).norm() <= 5 * TOLERANCE[precision] * gradient.norm(), name


def test_layer_norms_and_embeddings_keep_their_type(tower):
    cast = copy.deepcopy(tower).in_precision("bf16")
    assert cast.token_embedding.dtype == cast.ln_final_weight.dtype == torch.float32
    assert {getattr(cast.blocks[0], name).dtype for name in LINEAR_TENSORS} == {torch.bfloat16}
    half = copy.deepcopy(tower).in_precision("reference-fp16")
    assert (half.token_embedding.dtype, half.ln_final_weight.dtype) == (torch.float16, torch.float32)
    assert tower.blocks[0].fc_weight.dtype == torch.float32
