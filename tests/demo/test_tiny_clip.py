"""The bundled tiny CLIP: its captions, a very short pretraining, and the shipped weights in plain open_clip."""

import json
import math
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from cocoop.backbone import tiny
from cocoop.demo.miniatures import MINIATURES
from cocoop.demo.pretraining import captions, checks, scenes, vocabulary
from cocoop.demo.pretraining.batches import Batch, draw, text_features
from cocoop.demo.pretraining.training import STEPS, contrastive_loss, learning_rate, pretrain
from cocoop.errors import UserError

FRESH_SEED = 999  # pretraining used seed 0
SHIPPED = {"tiny_clip": 0.6, "tiny_clip_vit": 0.4}  # and the share of fresh pictures that each knows; chance: 1 in 64


@pytest.fixture(scope="module")
def described() -> list[tuple[scenes.Scene, captions.Caption]]:
    rng = np.random.default_rng(1)
    shown = [scenes.sample(rng) for _ in range(6000)]
    return [(scene, captions.describe(scene, rng)) for scene in shown]


def test_captions_state_only_what_is_true(described):
    for scene, caption in described:
        facts = zip(caption.stated, captions.canonical(scene), strict=True)
        assert all(stated in (captions.FREE, fact) for stated, fact in facts), caption.text


def test_captions_reach_every_position_of_the_text_tower(described):
    lengths = [len(vocabulary.encode(caption.text)) for _, caption in described]
    assert max(lengths) == vocabulary.CONTEXT_LENGTH
    for low in range(4, 76, 8):
        assert sum(low <= length < low + 8 for length in lengths) > 60, f"{low} to {low + 7} tokens"


def test_captions_use_known_tokens_only(described):
    known = set(vocabulary.token_ids())
    assert {token for _, caption in described for token in vocabulary.encode(caption.text)} <= known


def test_every_miniature_prompt_has_only_trained_tokens():
    prompts = [miniature.template.format(name) for miniature in MINIATURES.values() for name in miniature.classes]
    assert {token for prompt in prompts for token in vocabulary.encode(prompt)} <= set(vocabulary.token_ids())


def test_a_caption_matches_each_picture_it_is_true_of():
    red_white = scenes.Scene(scenes.FLAG, 1, colour=0, texture=0, count=0, second=10, contour=0)
    white_red = red_white._replace(colour=10, second=0)
    green = red_white._replace(colour=1)
    stated = captions.ANY._replace(kind=scenes.FLAG, colour=0, second=10)
    caption = captions.Caption("a red and white flag", stated)
    assert captions.matches([red_white, white_red, green], [caption])[:, 0].tolist() == [True, True, False]


def test_the_loss_spreads_over_all_true_partners():
    logits, everything = torch.zeros(4, 4), torch.ones(4, 4, dtype=torch.bool)
    assert float(contrastive_loss(logits, everything)) == pytest.approx(math.log(4))
    assert float(contrastive_loss(50 * torch.eye(4), torch.eye(4, dtype=torch.bool))) == pytest.approx(0, abs=1e-6)
    assert float(contrastive_loss(-50 * torch.eye(4), torch.eye(4, dtype=torch.bool))) > 40


def test_the_learning_rate_warms_up_and_falls():
    rates = [learning_rate(step, STEPS) for step in range(STEPS)]
    assert rates[0] < rates[20] < max(rates[:60]) <= 1.5e-3 * 1.006
    assert rates[100:] == sorted(rates[100:], reverse=True) and rates[-1] < 1e-5


@pytest.mark.parametrize("name", SHIPPED)
def test_a_short_pretraining_repeats_bit_for_bit(name, tmp_path):
    options = {"steps": 3, "batch": 8, "architecture": tiny.config(name)}
    first = pretrain(tmp_path / "first", seed=0, **options)
    again = pretrain(tmp_path / "again", seed=0, **options)
    other = pretrain(tmp_path / "other", seed=1, **options)
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()
    record = json.loads((tmp_path / "first" / "training.json").read_text())
    assert (record["steps"], record["samples"], len(record["history"])) == (3, 24, 1)
    shipped = tiny.expand(weights(name))
    assert {name: tensor.shape for name, tensor in tiny.expand(first).items()} == {
        n: t.shape for n, t in shipped.items()
    }


def test_pretraining_refuses_no_steps(tmp_path):
    with pytest.raises(
        UserError, match="pretrain-tiny: expected at least 1 step and 2 images per batch, got 0 and 128."
    ):
        pretrain(tmp_path / "none", steps=0)
    assert not list(tmp_path.iterdir())


def weights(name: str) -> Path:
    return tiny.config(name).with_name("weights.safetensors")


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request, tmp_path_factory) -> open_clip.CLIP:
    checkpoint = tmp_path_factory.mktemp("tiny") / "checkpoint.safetensors"
    tiny.materialise(checkpoint, weights(request.param))
    open_clip.add_model_config(tiny.config(request.param))
    model = open_clip.create_model(request.param, pretrained=str(checkpoint)).eval()
    model.name = request.param
    return model


def test_the_shipped_file_is_small_and_loads_strictly(shipped):
    assert weights(shipped.name).stat().st_size < 4.2e6
    expanded, loaded = tiny.expand(weights(shipped.name)), shipped.state_dict()
    shipped.load_state_dict(expanded, strict=True)
    assert all(torch.equal(expanded[name], loaded[name]) for name in loaded)
    trained = set(loaded[tiny.TABLE].abs().sum(1).nonzero()[:, 0].tolist())
    assert trained == set(vocabulary.token_ids())


def test_bucketed_text_features_are_those_of_open_clip(shipped, described):
    texts = [caption.text for _, caption in described[:100]]
    tokens = [vocabulary.encode(text) for text in texts]
    assert max(map(len, tokens)) > 48 > 12 > min(map(len, tokens))
    padded = torch.tensor([ids + [0] * (vocabulary.CONTEXT_LENGTH - len(ids)) for ids in tokens])
    with torch.no_grad():
        torch.testing.assert_close(text_features(shipped, tokens), shipped.encode_text(padded), rtol=1e-4, atol=1e-5)
    short = [row for row, ids in enumerate(tokens) if len(ids) < vocabulary.CONTEXT_LENGTH]
    assert torch.equal(open_clip.get_tokenizer(tiny.NAME)([texts[row] for row in short]), padded[short])


def test_the_shipped_model_knows_fresh_pictures(shipped):
    rows = vocabulary.token_ids()
    fresh = [draw(64, np.random.default_rng([FRESH_SEED, step])) for step in range(2)]
    samples = [
        Batch(pictures, [[rows[row] for row in text] for text in texts], true) for pictures, texts, true in fresh
    ]
    found = checks.held_out(shipped, samples)
    assert found["accuracy"] > SHIPPED[shipped.name]
    assert found["same_in_half_precision"] == 1  # the shipped weights are half precision already


def test_a_damaged_weights_file_is_named(tmp_path):
    damaged = tmp_path / "weights.safetensors"
    content = bytearray(tiny.WEIGHTS.read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(UserError, match="weights.safetensors: not a valid tiny_clip file"):
        tiny.expand(damaged)
    with pytest.raises(UserError, match="absent.safetensors: no such tiny_clip file"):
        tiny.expand(tmp_path / "absent.safetensors")
