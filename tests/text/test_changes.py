"""Methods that change the text tower: the exact encoder gives the literal computation's features and gradients."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from cocoop.text.changes import TextChanges
from cocoop.text.literal import LiteralEncoder
from cocoop.text.prompt_encoder import PromptEncoder
from cocoop.text.prompts import POSITIONS, learnable, templated
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER, text_model
from tests.text.changed import Draw, compare

NAMES = ["face", "wild_cat", "wild dog", "german shorthaired pointer", "face"]
M, D, LAYERS, N = 4, 16, 4, 2
BUDGETS = [0, 2048]
COLOURS = ("red", "green", "blue", "black", "grey", "white")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return text_model(D, LAYERS, 2).double()


def drawn(n: int = N) -> Draw:
    return Draw(n, len(NAMES), M, D)


def learned(position: str = "end", shared: bool = True):
    return learnable(TOKENIZER, 77, NAMES, M, position=position, shared=shared)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("layers", [(1,), (3,), (1, 2, 3)])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("position", POSITIONS)
def test_deep_prompts(model, position, shared, layers, budget):
    draw = drawn()
    context = draw.context(shared)
    compare(
        model,
        learned(position, shared),
        context,
        TextChanges(draw.prompts(*layers, shared=shared)),
        draw.leaves,
        budget,
    )


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("weight", [1.0, 0.4])
@pytest.mark.parametrize("position", POSITIONS)
def test_class_prompts_under_a_shared_context(model, position, weight, budget):
    """TCP: the prefix is shared up to the layer where each class gets tokens of its own."""
    draw = drawn()
    context = draw.context()
    prompts = draw.prompts(1) | draw.prompts(2, shared=False) | draw.prompts(3)
    compare(model, learned(position), context, TextChanges(prompts, weight), draw.leaves, budget)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("layers", [(0,), (2,), (3,), (1, 2), (1, 3)])
@pytest.mark.parametrize("prompts", ["templated", *POSITIONS, "class-specific"])
def test_inserted_tokens(model, prompts, layers, budget):
    draw = drawn()
    encoded, context = prompts_of(prompts, draw)
    compare(model, encoded, context, TextChanges(inserted=draw.inserted(*layers)), draw.leaves, budget)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("layers", [(0,), (2, 3), (1, 2), (3,)])
@pytest.mark.parametrize("prompts", ["templated", *POSITIONS, "class-specific"])
def test_adapters(model, prompts, layers, budget):
    draw = drawn()
    encoded, context = prompts_of(prompts, draw)
    compare(model, encoded, context, TextChanges(adapters=draw.adapters(*layers)), draw.leaves, budget)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize(("layers", "matrices"), [((0, 1, 2, 3), "qkvo"), ((2,), "q"), ((3,), "qkvo"), ((1, 3), "kv")])
@pytest.mark.parametrize("dropout", [0.0, 0.25])
@pytest.mark.parametrize("prompts", ["templated", *POSITIONS, "class-specific"])
def test_low_rank_terms(model, prompts, dropout, layers, matrices, budget):
    draw = drawn()
    encoded, context = prompts_of(prompts, draw)
    terms = draw.low_rank(*layers, matrices=matrices, dropout=dropout)
    compare(model, encoded, context, TextChanges(low_rank=terms), draw.leaves, budget)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("position", POSITIONS)
def test_all_changes_together(model, position, seeds, budget):
    draw = drawn(seeds)
    context = draw.context()
    compare(model, learned(position), context, everything(draw, draw.adapters(2)), draw.leaves, budget)


@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.slow
def test_pieces_of_classes_and_seeds_give_the_same_result(model, position, adapted):
    names = [f"{colour} {thing}" for colour in COLOURS for thing in ("cat", "dog shed", "fir", "oak")]
    draw = Draw(3, len(names), M, D)
    context, changes = draw.context(), everything(draw, draw.adapters(2) if adapted else {})
    prompts = learnable(TOKENIZER, 77, names, M, position=position)
    encoder = compare(model, prompts, context, changes, draw.leaves, budget_mb=0)
    assert all(stage.layout.tiles > 1 for stage in encoder.stages(changes))


@pytest.mark.parametrize("encoder_of", ["exact", "literal"])
def test_a_step_never_waits_for_the_device(model, encoder_of):
    """Fake tensors have no values: whatever would read one on the host, or make a shape of it, raises."""
    draw = drawn()
    context, changes = draw.context(), everything(draw, draw.adapters(2))
    if encoder_of == "exact":
        encoder = PromptEncoder(TextTower.from_open_clip(model, TOKENIZER.sot, TOKENIZER.eot), learned())
    else:
        encoder = LiteralEncoder(model, learned(), 77, TOKENIZER)
    encoder(context, changes)
    with FakeTensorMode(allow_non_fake_inputs=True):
        found = encoder(context.clone(), changes)
        gradients = torch.autograd.grad(found.sum(), draw.leaves[1:])
    assert found.shape == (N, len(NAMES), 32) and len(gradients) == len(draw.leaves) - 1


def everything(draw: Draw, adapters) -> TextChanges:
    return TextChanges(
        prompts=draw.prompts(1) | draw.prompts(3, shared=False),
        weight=0.5,
        inserted=draw.inserted(1, 2),
        adapters=adapters,
        low_rank=draw.low_rank(1, 2) | draw.low_rank(3, dropout=0.25),
    )


def prompts_of(name: str, draw: Draw):
    """Prompts, and a context drawn for them."""
    if name == "templated":
        draw.n_ctx = 0
        return templated(TOKENIZER, 77, NAMES, "a photo of a {}."), torch.zeros(N, 0, D, dtype=torch.float64)
    shared = name != "class-specific"
    return learned(name if shared else "end", shared), draw.context(shared)
