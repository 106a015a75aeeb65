"""With a method's changes in the tower, too, a piece keeps what the budget allows for its backward pass."""

import pytest
import torch

from cocoop.text.changes import TextChanges
from cocoop.text.prompt_encoder import PromptEncoder
from cocoop.text.prompts import learnable
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER, text_model
from tests.text.changed import Draw

WIDTH, LAYERS, M, BUDGET_MB = 64, 3, 4, 16
NAMES = [f"red cat {number} of a shed" for number in range(120)]
KINDS = {
    "class prompts": lambda draw: TextChanges(draw.prompts(1, shared=False)),
    "inserted": lambda draw: TextChanges(inserted=draw.inserted(1, k=20)),
    "adapters": lambda draw: TextChanges(adapters=draw.adapters(0, 1, 2)),
    "low rank": lambda draw: TextChanges(low_rank=draw.low_rank(0, 1, 2)),
    "low rank with dropout": lambda draw: TextChanges(low_rank=draw.low_rank(0, 1, 2, dropout=0.25)),
}


@pytest.fixture(scope="module")
def tower():
    return TextTower.from_open_clip(text_model(WIDTH, LAYERS, 4).double(), TOKENIZER.sot, TOKENIZER.eot)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 12])
def test_pieces_keep_what_the_budget_allows(tower, kind, batch):
    draw = Draw(batch, len(NAMES), M, WIDTH)
    context, changes = draw.context(), KINDS[kind](draw)
    encoder = PromptEncoder(tower, learnable(TOKENIZER, 77, NAMES, M), BUDGET_MB)
    stages = encoder.stages(changes)
    stage, before = stages[-1], stages[-2].layout
    n, tiles = encoder.at_once(context.device, stage.layout)
    n, tiles = (batch, max(1, tiles // batch)) if changes.adapters else (min(n, batch), tiles)
    tiles = min(tiles, stage.layout.tiles)
    rows = torch.randn(n, len(before.packing.tails.rows) + before.prefix, WIDTH, dtype=torch.float64)
    held = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        return tensor

    constants = {
        t.untyped_storage().data_ptr() for t in (*encoder.buffers(), *stage.layout.buffers(), rows, *draw.leaves)
    }
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = encoder._piece(stage, LAYERS, context[:n], rows.requires_grad_(), changes.part(0, n), 0, tiles)
    kept = sum(size for pointer, size in held.items() if pointer not in constants) / 2**20
    share = BUDGET_MB * (LAYERS - stage.layer) / LAYERS
    assert 0.4 * share < kept <= share
    del features
