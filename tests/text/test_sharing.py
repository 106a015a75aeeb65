"""What the exact encoder computes for each context: how many entries, and no product of anything that a context does not change."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cocoop.text.prompt_encoder import PromptEncoder
from cocoop.text.prompts import learnable
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER, text_model

WIDTH, LAYERS, CONTEXTS, EMBED = 32, 3, 4, 32
NAMES = ["cat", "wild cat", "german shorthaired pointer", "face"]
WORDS = sum(len(TOKENIZER.encode(name)) for name in NAMES)
CLASSES, END = len(NAMES), 2  # the full stop and EOT
CASES = {
    # position, one context for all: (entries of the prefix, of the tails, of the constant heads)
    ("end", True): (CONTEXTS, WORDS + END * CLASSES, 0),
    ("middle", True): (CONTEXTS // 2, WORDS + (CONTEXTS // 2 + END) * CLASSES, 0),
    ("front", True): (0, (CONTEXTS + END) * CLASSES, WORDS),
    ("end", False): (0, (CONTEXTS + END) * CLASSES + WORDS, 0),
    ("middle", False): (0, (CONTEXTS + END) * CLASSES + WORDS, 0),
    ("front", False): (0, (CONTEXTS + END) * CLASSES, WORDS),
}


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(0)
    return TextTower.from_open_clip(text_model(WIDTH, LAYERS, 2, EMBED), TOKENIZER.sot, TOKENIZER.eot)


@pytest.mark.parametrize(("position", "shared"), CASES)
@pytest.mark.parametrize("images", [1, 3])
def test_each_context_costs_its_own_entries_alone(tower, position, shared, images):
    prompts = learnable(TOKENIZER, 77, NAMES, CONTEXTS, position=position, shared=shared)
    encoder = PromptEncoder(tower, prompts)
    prefix, tails, heads = CASES[position, shared]
    assert len(encoder.prefix) == prefix
    assert encoder.packing.tail_entries == tails
    assert sum(encoder.packing.head_lengths) == heads
    assert encoder.packing.tails.padding == 0  # all in one tile
    shape = (images, CONTEXTS, WIDTH) if shared else (images, CLASSES, CONTEXTS, WIDTH)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder(torch.zeros(shape))
    counts = counter.get_flop_counts()["Global"]
    linear = sum(made for op, made in counts.items() if str(op) in ("aten.mm", "aten.addmm"))
    rows, slots, square = prefix + tails, CONTEXTS * (1 if shared and position == "end" else CLASSES), WIDTH**2
    if (position, shared) == ("middle", True):
        slots = CONTEXTS // 2 * (1 + CLASSES)  # the first half is shared, the second stands behind each class name
    products = slots * 3 + rows * 9 + (LAYERS - 2) * rows * 12 + rows * 2 + CLASSES * 10
    assert linear == 2 * images * (products * square + CLASSES * WIDTH * EMBED)
