"""Text towers the exact encoder does not cover are recognised and take the literal path, which is the model's own."""

import logging

import open_clip
import pytest
import torch

from cocoop import io
from cocoop.clip import text
from cocoop.clip.literal import LiteralEncoder, why_literal
from cocoop.clip.prompts import learnable, templated
from tests.oracle import TOKENIZER, text_model

VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
NAMES = ["cat", "german shorthaired pointer", "wild_dog"]
ODD = {
    "no causal mask": {"no_causal_mask": True},
    "masks padding": {"no_causal_mask": True, "use_pad_mask": True},
    "pooled by 'last'": {"pool_type": "last"},
    "pooled by 'first'": {"pool_type": "first"},
    "class token": {"embed_cls": True, "pad_id": 0},
    "scales or norms": {"ls_init_value": 0.1},
    "projection has a bias": {"proj_bias": True},
    "CustomResidualAttentionBlock": {"qk_norm": True},
}


def custom(**options) -> torch.nn.Module:
    torch.manual_seed(0)
    config = {"width": 32, "layers": 2, "heads": 2, **{k: v for k, v in options.items() if k != "use_pad_mask"}}
    model = open_clip.model.CustomTextCLIP(32, VISION, config)
    if options.get("use_pad_mask"):
        model.text.use_pad_mask = True
    for tensor in model.parameters():
        tensor.data += 0.05 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1))
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("reason", ODD)
def test_odd_towers_are_recognised(reason):
    found = why_literal(custom(**ODD[reason]))
    expected = "no causal mask" if reason == "masks padding" else reason
    assert found and (expected in found or reason in found), found


def test_ordinary_towers_are_not():
    assert why_literal(text_model(32, 2, 2)) is None
    assert why_literal(custom()) is None


@pytest.mark.parametrize("reason", ["plain", *ODD])
def test_literal_features_are_the_model_s_own(reason):
    """With the words' own embeddings as context, features are those of the plain sentence."""
    model = custom(**ODD.get(reason, {}))
    prompts = learnable(TOKENIZER, 77, NAMES, 4, "a photo of a")
    ids = torch.tensor([TOKENIZER.encode("a photo of a")])
    context = model.text.token_embedding(ids).expand(2, -1, -1).clone().requires_grad_()
    found = LiteralEncoder(model, prompts, 77, at_once=4)(context)
    sentences = templated(TOKENIZER, 77, NAMES, "a photo of a {}.").classes
    tokens = torch.zeros(len(NAMES), 77, dtype=torch.long)
    for row, entries in zip(tokens, sentences, strict=True):
        row[: len(entries)] = torch.tensor(entries)
    expected = model.encode_text(tokens)
    torch.testing.assert_close(found, expected.expand(2, -1, -1), rtol=1e-5, atol=1e-5)
    found.sum().backward()
    sees_context = reason != "pooled by 'first'"  # causal, so the first token sees nothing but itself
    assert (context.grad.abs().sum() > 0) == sees_context


def test_the_file_says_so_in_one_line(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        text.save(tmp_path / "text_tower.safetensors", custom(no_causal_mask=True), "siglip", "fingerprint")
    assert [r.message for r in caplog.records] == [
        "backbone siglip takes the literal text path: its text tower has no causal mask"
    ]
    tensors, metadata = io.read_tensors(tmp_path / "text_tower.safetensors", "text-tower")
    assert (tensors, metadata["literal"]) == ({}, "its text tower has no causal mask")
