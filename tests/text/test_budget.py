"""The memory budget of the exact encoder bounds what a step keeps for its backward pass, and is made use of."""

import pytest
import torch

from cocoop.text.changes import UNCHANGED
from cocoop.text.prompt_encoder import PromptEncoder
from cocoop.text.prompts import learnable
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER, text_model

WIDTH, LAYERS = 64, 3
NAMES = [f"{colour} {thing}" for colour in ("red", "green", "blue", "grey") for thing in ("cat", "dog shed", "fir")]


@pytest.fixture(scope="module")
def tower():
    return TextTower.from_open_clip(text_model(WIDTH, LAYERS, 4), TOKENIZER.sot, TOKENIZER.eot).in_precision("fp32")


def kept_mb(encoder, contexts: int, images: int) -> float:
    """MB of the activations autograd holds at the most between the forward and the backward pass of a step's pieces."""
    constants = {buffer.untyped_storage().data_ptr() for buffer in encoder.buffers()}
    constants |= {t.untyped_storage().data_ptr() for t in (*encoder.layout.constants, *encoder.layout.heads)}
    held: dict[int, int] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in constants:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    context = torch.randn(images, contexts, WIDTH, requires_grad=True)
    most, tiles, (stage,) = 0.0, encoder.packing.tails.count, encoder.stages(UNCHANGED)
    at_once = encoder.at_once(context.device)
    for part in context.split(at_once[0]):
        for first in range(0, tiles, at_once[1]):
            held.clear()
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                features = encoder._piece(stage, LAYERS, part, None, UNCHANGED, first, min(first + at_once[1], tiles))
            most = max(most, sum(held.values()) / 2**20)
            del features
    return most


@pytest.mark.parametrize("contexts", [4, 60])
@pytest.mark.parametrize("classes", [10, 250])
@pytest.mark.parametrize("images", [1, 64])
@pytest.mark.parametrize("budget_mb", [8, 32])
@pytest.mark.slow
def test_a_step_keeps_what_the_budget_allows(tower, contexts, classes, images, budget_mb):
    names = (NAMES * 30)[:classes]
    names = [f"{name} {number}" for number, name in enumerate(names)]
    encoder = PromptEncoder(tower, learnable(TOKENIZER, 77, names, contexts), budget_mb)
    kept = kept_mb(encoder, contexts, images)
    assert kept <= budget_mb
    whole = (images, encoder.packing.tails.count)
    cut = any(now < all_of_it for now, all_of_it in zip(encoder.at_once(torch.device("cpu")), whole, strict=True))
    assert not cut or kept > 0.4 * budget_mb  # a piece more would not have fitted


def test_without_a_budget_every_piece_is_one_tile_of_one_context(tower):
    encoder = PromptEncoder(tower, learnable(TOKENIZER, 77, [f"{n} cat" for n in range(300)], 4), 0)
    assert encoder.at_once(torch.device("cpu")) == (1, 1)
    assert encoder.packing.tails.count > 1
