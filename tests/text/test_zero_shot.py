"""Frozen text features for any templates and descriptions: the authors' numbers, computed once."""

import open_clip
import pytest
import torch
import torch.nn.functional as F

from cocoop.errors import UserError
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER, text_model
from tests.successors import case, clip, close, facts, golden

NAMES = ["face", "wild_cat", "german shorthaired pointer"]
TEMPLATES = ("a photo of a {}.", "{} texture.", "art of the {}.")


def fast(model) -> TextEncoder:
    return TextEncoder.fast(TextTower.from_open_clip(model, TOKENIZER.sot, TOKENIZER.eot).in_precision("fp32"))


@pytest.fixture(params=["exact", "literal"])
def text(request):
    torch.manual_seed(0)
    model = text_model(32, 2, 2)
    made = fast(model) if request.param == "exact" else TextEncoder.literal(model)
    return made, model


def test_features_of_texts_are_open_clips(text):
    encoder, model = text
    texts = ["two dogs, asleep", "a face.", "A LONG sentence about a great many different things, and more."]
    torch.testing.assert_close(
        encoder.features(texts), model.encode_text(open_clip.tokenize(texts)), rtol=1e-4, atol=1e-5
    )


def test_templates_are_averaged_as_unit_vectors(text):
    encoder, model = text
    spoken = [name.replace("_", " ") for name in NAMES]
    each = [model.encode_text(open_clip.tokenize([t.format(name) for name in spoken])) for t in TEMPLATES]
    unit = F.normalize(sum(F.normalize(found, dim=-1) for found in each) / 3, dim=-1)
    torch.testing.assert_close(encoder.zero_shot(NAMES, TEMPLATES), unit, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder.zero_shot(NAMES, TEMPLATES, "raw"), sum(each) / 3, rtol=1e-4, atol=1e-5)


def test_descriptions_may_differ_in_number(text):
    encoder, model = text
    texts = {"face": ["eyes and a nose"], "wild_cat": ["a striped coat", "sharp claws", "long whiskers"]}
    found = encoder.zero_shot(["wild_cat", "face"], texts)
    each = F.normalize(model.encode_text(open_clip.tokenize(texts["wild_cat"])), dim=-1)
    torch.testing.assert_close(found[0], F.normalize(each.mean(0), dim=-1), rtol=1e-4, atol=1e-5)
    alone = F.normalize(model.encode_text(open_clip.tokenize(texts["face"]))[0], dim=-1)
    torch.testing.assert_close(found[1], alone, rtol=1e-4, atol=1e-5)


def test_features_are_computed_once(text, monkeypatch):
    encoder, _ = text
    first = encoder.zero_shot(NAMES, TEMPLATES)
    assert not first.requires_grad
    calls = []
    monkeypatch.setattr(TextEncoder, "features", lambda self, texts: calls.append(texts))
    assert torch.equal(encoder.zero_shot(list(NAMES), list(TEMPLATES)), first)
    assert torch.equal(encoder.zero_shot(NAMES[:2], TEMPLATES), first[:2])
    encoder.zero_shot(NAMES, TEMPLATES, "raw")
    assert not calls


@pytest.mark.parametrize("name", ["a0", "a1", "a2"])
def test_tip_adapter_weights(name):
    of = case("tip_adapter", name)
    found = fast(clip("tip_adapter", name)).zero_shot(of["classnames"], of["templates"])
    close(found.T, golden("tip_adapter", name, "clip_weights"), 1e-4)


def test_promptsrc_teacher_of_sixty_templates():
    of = case("promptsrc", "s1")
    chosen = facts("promptsrc")["teacher_templates_as_indices_of_openai_80"]
    templates = [open_clip.OPENAI_IMAGENET_TEMPLATES[i]("{}") for i in chosen]
    assert len(set(templates)) == of["teacher_templates"]
    found = fast(clip("promptsrc", "s1")).zero_shot(of["classnames"], templates, "raw")
    close(found, golden("promptsrc", "s1", "teacher_text_mean"), 1e-4)


def test_what_cannot_be_encoded_is_named(text):
    encoder, _ = text
    with pytest.raises(
        UserError, match=r"text 'very very .* 92 tokens, but the text tower takes at most 77; shorten it"
    ):
        encoder.features(["a cat", "very " * 90])
    with pytest.raises(UserError, match="class 'face' has no descriptions"):
        encoder.zero_shot(NAMES, {"wild_cat": ["claws"]})
    with pytest.raises(UserError, match="templates: the list is empty"):
        encoder.zero_shot(NAMES, [])
