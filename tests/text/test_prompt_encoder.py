"""The exact encoder against the literal computation: same features, same gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cocoop.text.prompt_encoder import PromptEncoder
from cocoop.text.prompts import POSITIONS, learnable, templated
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER, literal_features, loss_of, text_model

PRECISE = [(torch.float64, 1e-10), (torch.float32, 1e-4)]  # largest relative differences from the literal computation
WORDS = st.text(alphabet="abcdefgh XYZ0123.,'-_&é", min_size=0, max_size=18)


def tower_of(model, dtype=torch.float64, as_trained=True):
    """as_trained: with QuickGELU's factors in the weights, as every training and evaluation in fp32 has it."""
    tower = TextTower.from_open_clip(model.to(dtype), TOKENIZER.sot, TOKENIZER.eot)
    return tower.in_precision("fp32") if as_trained else tower


def compare(model, prompts, context, budget_mb=2048, tolerance=1e-10, as_trained=True):
    encoder = PromptEncoder(tower_of(model, context.dtype, as_trained), prompts, budget_mb)
    fast, slow = context.clone().requires_grad_(), context.clone().requires_grad_()
    expected, found = literal_features(model, prompts, slow), encoder(fast)
    assert found.shape == expected.shape
    assert (found - expected).norm() <= tolerance * expected.norm()
    if prompts.n_ctx:
        loss_of(expected).backward()
        loss_of(found).backward()
        assert (fast.grad - slow.grad).norm() <= tolerance * slow.grad.norm()
    with torch.no_grad():
        assert (encoder(context) - expected).norm() <= tolerance * expected.norm()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_tower_any_names(data):
    heads = data.draw(st.sampled_from([1, 2, 4]))
    width, layers = heads * data.draw(st.sampled_from([8, 16])), data.draw(st.integers(1, 4))
    names = data.draw(st.lists(WORDS, min_size=1, max_size=6))
    contexts, images = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 3))
    length = data.draw(
        st.sampled_from([36, 50, 77])
    )  # a name of 18 characters takes up to 18 tokens, two of them bytes of "é"
    shared = data.draw(st.booleans())
    torch.manual_seed(data.draw(st.integers(0, 99)))
    model = text_model(width, layers, heads, quick_gelu=data.draw(st.booleans()), context_length=length)
    prompts = learnable(
        TOKENIZER, length, names, contexts, position=data.draw(st.sampled_from(POSITIONS)), shared=shared
    )
    shape = (images, contexts, width) if shared else (images, len(names), contexts, width)
    budget, as_trained = data.draw(st.sampled_from([0, 1, 2048])), data.draw(st.booleans())
    dtype, tolerance = data.draw(st.sampled_from(PRECISE))
    compare(model, prompts, torch.randn(shape, dtype=dtype), budget, tolerance, as_trained)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("shared", [True, False])
def test_single_precision(position, shared):
    torch.manual_seed(1)
    names = ["face", "wild_cat", "german shorthaired pointer", "2012 Tesla Model S Sedan", "cat", "face"]
    prompts = learnable(TOKENIZER, 77, names, 6, position=position, shared=shared)
    shape = (3, 6, 64) if shared else (3, len(names), 6, 64)
    compare(text_model(64, 3, 4), prompts, torch.randn(shape), tolerance=1e-4)


def test_words_and_templates():
    torch.manual_seed(2)
    model = text_model(32, 3, 2)
    names = ["digit zero", "digit one", "digit seven and a half"]
    prompts = learnable(TOKENIZER, 77, names, 4, "a photo of a")
    assert prompts.classes[0][5] == TOKENIZER.encode("digit")[0]
    compare(model, prompts, torch.randn(2, 4, 32, dtype=torch.float64))
    compare(model, templated(TOKENIZER, 77, names, "a photo of a {}."), torch.zeros(1, 0, 32, dtype=torch.float64))


def test_names_that_begin_alike_share_their_beginning():
    prompts = learnable(TOKENIZER, 77, ["digit zero", "digit one", "digit two"], 4)
    encoder = PromptEncoder(tower_of(text_model(16, 1, 1)), prompts)
    assert encoder.packing.shared[-1] == TOKENIZER.encode("digit")[0]
    assert encoder.packing.tail_entries == 3 * 3  # the number, the full stop, EOT


@pytest.mark.parametrize("budget, precise", [(0, PRECISE[0]), (1, PRECISE[1]), (2048, PRECISE[0]), (2048, PRECISE[1])])
def test_thousand_imagenet_names(budget, precise):
    from open_clip import IMAGENET_CLASSNAMES

    torch.manual_seed(3)
    assert len(IMAGENET_CLASSNAMES) == 1000  # two pairs of them are equal
    prompts = learnable(TOKENIZER, 77, IMAGENET_CLASSNAMES, 4, "a photo of a")
    compare(text_model(16, 2, 2), prompts, torch.randn(1, 4, 16, dtype=precise[0]), budget, precise[1])


def test_no_gradient_is_computed_for_frozen_weights():
    model = text_model(16, 2, 2)
    encoder = PromptEncoder(tower_of(model), learnable(TOKENIZER, 77, ["cat", "dog"], 2))
    context = torch.randn(1, 2, 16, dtype=torch.float64, requires_grad=True)
    encoder(context).sum().backward()
    assert context.grad.abs().sum() > 0
    assert not list(encoder.parameters())
    assert all(buffer.grad is None for buffer in encoder.buffers())


def test_prompt_too_long_names_class_and_length():
    from cocoop.errors import UserError

    with pytest.raises(
        UserError, match=r"class 'a b c': its prompt has 78 tokens, but the text tower takes at most 77"
    ):
        learnable(TOKENIZER, 77, ["cat", "a b c"], 72)
