"""Tiles hold every sequence whole, share what is equal, and waste next to nothing."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cocoop.text.packing import Packing
from cocoop.text.prompts import learnable
from cocoop.text.tiles import LARGEST, lay_out
from tests.oracle import TOKENIZER

ITEMS = st.lists(st.integers(0, 3), min_size=1, max_size=60).map(lambda items: (*items, 9))
SEQUENCES = st.lists(ITEMS, min_size=1, max_size=40)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(sequences=SEQUENCES)
def test_every_sequence_is_in_a_single_tile(sequences):
    tiles = lay_out(sequences)
    assert len(tiles.rows) == len(tiles.parents) == tiles.count * tiles.size
    used = set()
    for i, sequence in enumerate(sequences):
        path = tiles.path(i)[::-1]
        assert [tiles.rows[row] for row in path] == list(sequence)
        assert len({row // tiles.size for row in path}) == 1
        used.update(path)
    assert tiles.padding == len(tiles.rows) - len(used)
    assert tiles.distinct == len({tuple(s[:k]) for s in sequences for k in range(1, len(s) + 1)})


def test_equal_sequences_share_everything():
    tiles = lay_out([(1, 2, 9), (4, 9), (1, 2, 9), (1, 3, 9)])
    assert tiles.ends[0] == tiles.ends[2]
    assert len(tiles.leaves) == 3
    assert tiles.size == tiles.distinct == 3 + 2 + 2


def test_imagenet_names_have_little_padding_and_share_rows():
    from open_clip import IMAGENET_CLASSNAMES

    packing = Packing(learnable(TOKENIZER, 77, IMAGENET_CLASSNAMES, 4, "a photo of a"))
    tails = packing.tails
    assert tails.size <= LARGEST
    assert packing.tail_entries == 4003  # 4165 without sharing between names; 77,000 tokens in the reference
    assert len(tails.rows) <= 1.01 * packing.tail_entries
    assert len(tails.leaves) == 998  # two pairs of classes have the same name
