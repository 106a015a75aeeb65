"""SigLIP's texts as open_clip cuts them: lower case, no punctuation, 64 tokens; and its features, which no padding may change."""

import open_clip
import pytest
import torch

from cocoop.config import Registry
from tests.text import towers

TEXTS = [
    "A photo of a CAT.",
    "a photo of a cat",
    "a photo of a wild_dog!",
    "a german shorthaired pointer, seen from afar",
]


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    """(text side, open_clip model, open_clip's tokenizer) of the shipped SigLIP 2's config, with a small tower and vocabulary."""
    folder = tmp_path_factory.mktemp("siglip")
    shipped = open_clip.get_model_config(Registry().backbone("siglip2_b16", "test").model)
    words = towers.tokenizer(folder / "tokenizer", "siglip")
    small = shipped["text_cfg"] | towers.WIDTH | {"vocab_size": towers.VOCABULARY, "hf_tokenizer_name": words}
    spec = towers.spec(folder, "small_siglip", small, custom_text=True, init_logit_bias=shipped["init_logit_bias"])
    side, model = towers.side(spec, folder)
    return side, model, open_clip.get_tokenizer(towers.known_as(spec))


def test_texts_are_cut_and_padded_as_by_open_clip(tower):
    side, _, tokenize = tower
    expected = tokenize(TEXTS)
    assert expected.shape == (len(TEXTS), 64)
    whole = [side.tokenizer.whole(text) for text in TEXTS]
    assert [list(side.tokenizer.padded(ids, 64)) for ids in whole] == expected.tolist()
    assert whole[0] == whole[1]  # neither capitals nor a full stop
    assert set(expected[0, len(whole[0]) :].tolist()) == {tokenize.tokenizer.pad_token_id}


def test_features_are_those_of_open_clip_for_every_form_of_a_prompt(tower):
    side, model, tokenize = tower
    names = ["CAT", "wild_dog", "german shorthaired pointer"]
    with torch.no_grad():
        expected = model.encode_text(tokenize([f"A photo of a {name.replace('_', ' ')}." for name in names]))
        found = side.encoder(side.templated(names, "A photo of a {}."))(torch.zeros(1, 0, side.width))[0]
        learned = side.encoder(side.learnable(names, 4, words="a photo of a"))
        words = learned(side.embedded_words("a photo of a", 4)[None])[0]
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(words, expected, rtol=1e-5, atol=1e-6)


def test_its_bias_changes_no_probability(tower):
    """The sigmoid loss adds one number to all logits, which a softmax over classes does not see."""
    side, model, _ = tower
    assert float(model.logit_bias) == -10
    logits = side.scale * torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close((logits + model.logit_bias).softmax(-1), logits.softmax(-1))


def test_its_feature_depends_on_the_padding(tower):
    """Its feature is that of the last position, which is padding for all but the longest texts."""
    side, model, tokenize = tower
    tokens = tokenize(["a photo of a cat."])
    shorter = tokens[:, :40]
    with torch.no_grad():
        assert not torch.allclose(model.encode_text(tokens), model.encode_text(shorter))
    assert side.context_length == 64
