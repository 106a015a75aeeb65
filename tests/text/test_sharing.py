"""What the exact encoder computes for each context: how many entries, and no product of anything that a context does not change."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cocoop.text.changes import TextChanges
from cocoop.text.prompt_encoder import PromptEncoder
from cocoop.text.prompts import learnable, templated
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
def test_each_context_costs_only_its_entries(tower, position, shared, images):
    prompts = learnable(TOKENIZER, 77, NAMES, CONTEXTS, position=position, shared=shared)
    encoder = PromptEncoder(tower, prompts)
    prefix, tails, heads = CASES[position, shared]
    assert encoder.layout.prefix == prefix
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
    products = slots * 3 + rows * 9 + (LAYERS - 2) * rows * 12 + rows * 3 + CLASSES * 9
    assert linear == 2 * images * (products * square + CLASSES * WIDTH * EMBED)


LAYER = 2


def linear_rows(encoder, context, changes) -> float:
    """What a step computes in linear layers, in products of one row with a D x D matrix."""
    encoder(context, changes)  # makes what is constant
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder(context, changes)
    made = counter.get_flop_counts()["Global"]
    return sum(n for op, n in made.items() if str(op) in ("aten.mm", "aten.addmm")) / (2 * WIDTH**2)


def deep_tower():
    torch.manual_seed(0)
    return TextTower.from_open_clip(text_model(WIDTH, 5, 2, EMBED), TOKENIZER.sot, TOKENIZER.eot)


def test_class_prompts_leave_earlier_layers_shared():
    encoder = PromptEncoder(deep_tower(), learnable(TOKENIZER, 77, NAMES, CONTEXTS))
    vectors = {LAYER: torch.zeros(1, CLASSES, CONTEXTS, WIDTH)}
    shared, own = CONTEXTS + WORDS + END * CLASSES, (CONTEXTS + END) * CLASSES + WORDS
    top = own * 3 + CLASSES * 9 + CLASSES * EMBED / WIDTH
    found = linear_rows(encoder, torch.zeros(1, CONTEXTS, WIDTH), TextChanges(vectors))
    assert found == CONTEXTS * 3 + shared * 9 + shared * 12 + own * 12 * 2 + top


@pytest.mark.parametrize("kind", ["inserted", "adapters"])
def test_layers_below_the_first_change_are_computed_once(kind):
    encoder = PromptEncoder(deep_tower(), templated(TOKENIZER, 77, NAMES, "a photo of a {}."))
    changes = {
        "inserted": TextChanges(inserted={LAYER: torch.zeros(1, 3, WIDTH)}),
        "adapters": TextChanges(adapters={LAYER: lambda normed, out: out}),
    }[kind]
    words = 4 + WORDS + END * CLASSES  # "a photo of a" once
    rows = words + 3 if kind == "inserted" else words + 1  # SOS is constant beside inserted tokens, not below adapters
    top = rows * 3 + CLASSES * 9 + CLASSES * EMBED / WIDTH
    assert linear_rows(encoder, torch.zeros(1, 0, WIDTH), changes) == rows * 12 * 2 + top
