"""Changes in open_clip's own towers, also those the exact encoder does not cover, and what cannot be changed."""

import pytest
import torch

from cocoop.errors import UserError
from cocoop.text.changes import LowRank, TextChanges, dropout
from cocoop.text.hooks import longer_mask
from cocoop.text.literal import LiteralEncoder
from cocoop.text.prompt_encoder import PromptEncoder
from cocoop.text.prompts import learnable
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER, text_model
from tests.text import towers
from tests.text.changed import Draw, close
from tests.text.test_changes import everything
from tests.text.test_literal import NAMES, custom

M, D, N = 3, 32, 2
ODD = {
    "bidirectional": {"no_causal_mask": True},
    "padding mask": {"no_causal_mask": True, "use_pad_mask": True},
    "last token": {"pool_type": "last"},
    "class token": {"embed_cls": True, "pad_id": 0},
    "scaled layers": {"ls_init_value": 0.1},
    "tanh": {"act_kwargs": {"approximate": "tanh"}},
}


def drawn(model, **options):
    """An encoder, and a context for it, of prompts with M vectors."""
    draw = Draw(N, len(NAMES), M, D)
    encoder = LiteralEncoder(model.double(), learnable(TOKENIZER, 77, NAMES, M), 77, TOKENIZER, **options)
    return draw, encoder, draw.context()


@pytest.mark.parametrize("kind", ODD)
def test_every_kind_of_tower_supports_every_change(kind):
    draw, encoder, context = drawn(custom(layers=4, **ODD[kind]))
    changes = everything(draw, draw.adapters(2))
    plain, features = encoder(context), encoder(context, changes)
    assert features.shape == plain.shape and not torch.allclose(features, plain)
    gradients = torch.autograd.grad(features.square().sum(), draw.leaves)
    assert all(gradient.norm() > 0 for gradient in gradients)
    encoder.budget_mb = 1
    close(encoder(context, changes), features, 1e-10, "in pieces")
    close(encoder(context), plain, 1e-10, "without changes, when no hook may be left")


def test_changes_that_change_nothing_leave_features_alone():
    """Of a bidirectional tower: what is put in and taken out again is nobody's key."""
    _, encoder, context = drawn(custom(no_causal_mask=True))
    zero = torch.zeros(N, 2, D, dtype=torch.float64)
    term = LowRank(zero, zero.mT)
    adapters = {0: lambda normed, out: out}
    changes = TextChanges(adapters=adapters, low_rank={1: dict.fromkeys("qkvo", term)})
    close(encoder(context, changes), encoder(context), 1e-12, "features")


def test_longer_mask_of_a_causal_tower():
    length = 4
    mask = torch.full((length, length), -torch.inf).triu(1)
    assert torch.equal(longer_mask(mask, 2, 1, True), torch.full((6, 6), -torch.inf).triu(1))
    assert torch.equal(longer_mask(mask, 2, 0, True), torch.full((6, 6), -torch.inf).triu(1))


def test_longer_mask_of_a_tower_that_masks_padding():
    padded = torch.zeros(5, 4, 4)
    padded[..., 3] = -torch.inf
    expected = torch.zeros(5, 6, 6)
    expected[..., 5] = -torch.inf
    assert torch.equal(longer_mask(padded, 2, 1, False), expected)


def test_towers_of_hugging_face_are_refused(tmp_path):
    config = {
        "hf_model_name": towers.hugging_face(tmp_path / "model", "roberta"),
        "hf_tokenizer_name": towers.tokenizer(tmp_path / "tokenizer", "roberta"),
        "hf_pooler_type": "mean_pooler",
    }
    side, _ = towers.side(towers.spec(tmp_path, "hugging", config, custom_text=True), tmp_path)
    encoder = side.encoder(side.learnable(["cat"], M))
    changes = TextChanges({1: torch.zeros(1, M, side.width)})
    with pytest.raises(UserError, match="those of a HFTextEncoder cannot be changed; use another backbone or method"):
        encoder(torch.zeros(1, M, side.width), changes)


def test_attention_of_another_kind_is_refused():
    draw, encoder, context = drawn(custom(qk_norm=True))
    encoder(context, TextChanges(draw.prompts(1)))
    with pytest.raises(
        UserError, match="the attention of the text tower.s CustomResidualAttentionBlock does not support them"
    ):
        encoder(context, TextChanges(low_rank=draw.low_rank(1)))


@pytest.mark.parametrize("path", ["exact", "literal"])
@pytest.mark.parametrize("what", ["prompts", "inserted", "adapters", "low_rank"])
def test_layers_that_a_tower_lacks_are_named(path, what):
    model = text_model(D, 2, 2).double()
    draw, encoder, context = drawn(model)
    if path == "exact":
        encoder = PromptEncoder(TextTower.from_open_clip(model, TOKENIZER.sot, TOKENIZER.eot), encoder_prompts())
    changes = TextChanges(**{what: getattr(draw, what)(2)})
    with pytest.raises(
        UserError, match="at text layer 2: the backbone's text tower has layers 0 to 1; use other layers"
    ):
        encoder(context, changes)


@pytest.mark.parametrize(
    "changes",
    [
        TextChanges({0: torch.zeros(N, M, D)}),
        TextChanges({1: torch.zeros(1, M, D)}),
        TextChanges({1: torch.zeros(N, M + 1, D)}),
        TextChanges({1: torch.zeros(N, 1, M, D)}),
        TextChanges(inserted={0: torch.zeros(N, 2, D), 1: torch.zeros(N, 3, D)}),
        TextChanges(low_rank={1: {"q": LowRank(torch.zeros(N, D, 2), torch.zeros(N, D, 2))}}),
        TextChanges(low_rank={1: {"w": LowRank(torch.zeros(N, 2, D), torch.zeros(N, D, 2))}}),
    ],
)
def test_changes_that_do_not_fit_are_refused(changes):
    tower = TextTower.from_open_clip(text_model(D, 2, 2), TOKENIZER.sot, TOKENIZER.eot)
    with pytest.raises(ValueError, match="a change of shape|prompts at layer 0|low_rank"):
        PromptEncoder(tower, encoder_prompts())(torch.zeros(N, M, D), changes)


def encoder_prompts():
    return learnable(TOKENIZER, 77, NAMES, M)


def test_dropout_is_the_same_at_every_call_and_for_seeds_alone():
    factors = dropout(0.25, [7, 8], D, torch.device("cpu"))
    both = factors(4, 9)
    assert both.shape == (2, 4, 9, D) and torch.equal(factors(4, 9), both)
    assert torch.equal(dropout(0.25, [8], D, torch.device("cpu"))(4, 9)[0], both[1])
    assert both.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert abs((both == 0).float().mean() - 0.25) < 0.03
