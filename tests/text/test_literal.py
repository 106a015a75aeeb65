"""Text towers the exact encoder does not cover are recognised and take the literal path, which is the model's own."""

import logging

import open_clip
import pytest
import torch

from cocoop import io
from cocoop.errors import UserError
from cocoop.text import text_encoder as text
from cocoop.text.literal import LiteralEncoder, why_literal
from cocoop.text.prompts import learnable
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER, text_model
from tests.text import towers

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
    "its MLP uses GELU by tanh": {"act_kwargs": {"approximate": "tanh"}},
    "its layer norms differ": {"norm_kwargs": {"elementwise_affine": False}},
}
COCA = {"context_length": 76, "embed_cls": True, "output_tokens": True}
COCA_VISION = VISION | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
DECODER = {"context_length": 76, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1, "attn_pooler_heads": 2}


def custom(model=None, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    config = {"width": 32, "layers": 2, "heads": 2, **{k: v for k, v in options.items() if k != "use_pad_mask"}}
    model = open_clip.model.CustomTextCLIP(32, VISION, config, **(model or {}))
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


def test_every_layer_is_looked_at():
    model = custom()
    model.text.transformer.resblocks[1].mlp.gelu = open_clip.transformer.QuickGELU()
    assert why_literal(model) == "its MLP uses GELU and QuickGELU"
    model.text.transformer.resblocks[1].mlp.gelu = torch.nn.GELU("tanh")
    assert why_literal(model) == "its MLP uses GELU and GELU by tanh"
    model = custom()
    model.text.transformer.resblocks[1].ln_2.eps = 1e-3
    assert why_literal(model) == "its layer norms differ"


def sentences(length: int = 77) -> torch.Tensor:
    """Token ids (C, length) of "a photo of a NAME.", by open_clip's own tokenizer."""
    return open_clip.tokenize([f"a photo of a {name.replace('_', ' ')}." for name in NAMES], length)


@pytest.mark.parametrize("reason", ["plain", *ODD])
def test_literal_features_are_equal_to_the_models(reason):
    """With the words' own embeddings as context, features are those of the plain sentence."""
    model = custom(**ODD.get(reason, {}))
    prompts = learnable(TOKENIZER, 77, NAMES, 4, "a photo of a")
    ids = torch.tensor([TOKENIZER.encode("a photo of a")])
    context = model.text.token_embedding(ids).expand(2, -1, -1).clone().requires_grad_()
    found = LiteralEncoder(model, prompts, 77, TOKENIZER)(context)
    torch.testing.assert_close(found, model.encode_text(sentences()).expand(2, -1, -1), rtol=1e-5, atol=1e-5)
    found.sum().backward()
    sees_context = reason != "pooled by 'first'"  # causal, so the first token sees nothing but itself
    assert (context.grad.abs().sum() > 0) == sees_context


@pytest.mark.parametrize("quick_gelu", [False, True])
def test_fast_features_of_a_custom_text_tower_are_exact(quick_gelu):
    """As EVA and MobileCLIP-B have it: CLIP's tower inside of `model.text`."""
    model = custom(model={"quick_gelu": quick_gelu})
    assert why_literal(model) is None
    tower = TextTower.from_open_clip(model, TOKENIZER.sot, TOKENIZER.eot).in_precision("fp32")
    side = TextEncoder.fast(tower)
    context = side.embedded_words("a photo of a", 4)[None]
    found = side.encoder(side.learnable(NAMES, 4, words="a photo of a"))(context)
    torch.testing.assert_close(found[0], model.encode_text(sentences()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("vocabulary", [49408, 64000])
def test_coca_features_are_equal_to_open_clips(tmp_path, vocabulary):
    """The real class, end to end; coca_base has a larger table than its tokenizer has tokens."""
    options = {"custom_text": True, "vision_cfg": COCA_VISION, "multimodal_cfg": DECODER}
    spec = towers.spec(tmp_path, f"small_coca_{vocabulary}", COCA | {"vocab_size": vocabulary}, **options)
    side, model = towers.side(spec, tmp_path)
    assert type(model).__name__ == "CoCa"
    tokens = open_clip.get_tokenizer(towers.known_as(spec))([f"a {name}." for name in NAMES[:2]])
    found = side.encoder(side.templated(NAMES[:2], "a {}."))(torch.zeros(1, 0, side.width))[0]
    assert tokens.shape[1] == 76 and torch.equal(found, model.encode_text(tokens))
    context = side.embedded_words("a photo of a", 4)[None]
    found = side.encoder(side.learnable(NAMES, 4, words="a photo of a"))(context)[0]
    torch.testing.assert_close(found, model.encode_text(sentences(76)), rtol=1e-5, atol=1e-6)


def test_tower_with_fewer_tokens_than_its_tokenizer_fails(tmp_path):
    for name, changes in {"few": {}, "few_odd": {"no_causal_mask": True}}.items():
        spec = towers.spec(tmp_path, name, {"vocab_size": 32000, **changes})
        with pytest.raises(UserError, match="has 32000 tokens, but its tokenizer uses ids up to 49407"):
            towers.side(spec, tmp_path)


def test_clips_tokenizer_with_custom_settings_is_used(tmp_path):
    spec = towers.spec(tmp_path, "canonical", {"tokenizer_kwargs": {"clean": "canonicalize"}})
    side, model = towers.side(spec, tmp_path)
    expected = model.encode_text(open_clip.get_tokenizer(towers.known_as(spec))(["A photo: cat!"]))
    found = side.encoder(side.templated(["cat"], "A photo: {}!"))(torch.zeros(1, 0, side.width))[0]
    assert torch.equal(found, expected)
    assert not torch.equal(found, model.encode_text(open_clip.tokenize(["A photo: cat!"])))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "reference-fp16"])
def test_what_is_learned_has_the_type_of_the_fast_path(tmp_path, precision):
    """And the same initial values, for the same weights with and without an odd tower around them."""
    found = {}
    for name, changes in {"fast": {}, "literal": {"pool_type": "eos", "eos_id": TOKENIZER.eot}}.items():
        spec = towers.spec(tmp_path, f"{name}_{precision}", changes, precision, custom_text=True)
        side, _ = towers.side(spec, tmp_path)
        found[name] = side.embedded_words("a photo of a", 4), side.dtype
    assert found["fast"][1] == found["literal"][1] == found["literal"][0].dtype
    assert torch.equal(found["fast"][0], found["literal"][0])


def test_the_stage_logs_the_reason_in_one_line(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        text.save(tmp_path / "text_tower.safetensors", custom(no_causal_mask=True), "siglip", "fingerprint")
    assert [r.message for r in caplog.records] == [
        "backbone siglip uses the slower literal text encoder: its text tower has no causal mask"
    ]
    tensors, metadata = io.read_tensors(tmp_path / "text_tower.safetensors", "text-tower")
    assert (tensors, metadata["literal"]) == ({}, "its text tower has no causal mask")


def test_every_job_logs_the_reason(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        towers.side(towers.spec(tmp_path, "odd", {"pool_type": "last"}), tmp_path)
    lines = [record.message for record in caplog.records if "literal" in record.message]
    reason = "backbone odd uses the slower literal text encoder: its text feature is pooled by 'last' instead of EOT"
    assert lines == [reason] * 2  # once where the file is written, once where it is read


def test_towers_without_a_place_for_contexts_are_refused():
    """Never a feature that the context did not reach."""
    with pytest.raises(UserError, match="TextTransformer does not look up each prompt once"):
        TextEncoder.literal(custom(output_tokens=True))

    def look_twice(module, inputs):
        module.token_embedding(inputs[0])

    twice = custom(no_causal_mask=True)
    twice.text.register_forward_pre_hook(look_twice)
    with pytest.raises(UserError, match="TextTransformer does not look up each prompt once"):
        TextEncoder.literal(twice)
    del twice.text.token_embedding
    with pytest.raises(UserError, match="the text tower TextTransformer has no token embeddings"):
        TextEncoder.literal(twice)
