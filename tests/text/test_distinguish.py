"""Groups of classes by the direction of their text features."""

import torch

from cocoop.text.distinguish import ROWS_AT_ONCE, groups, sentence


def test_features_of_one_direction_are_a_group():
    features = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 1e-3], [0.0, 1.0], [1.0, 0.1]])
    assert groups(features) == [[0, 2], [1, 3]]


def test_features_that_are_zero_or_nan_equal_nothing():
    features = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [float("nan"), 1.0], [1.0, 0.0]])
    assert groups(features) == [[0, 4]]


def test_groups_span_the_pieces_that_are_compared_at_once():
    features = torch.randn(ROWS_AT_ONCE + 10, 64, generator=torch.Generator().manual_seed(0))
    features[-1], features[-2] = 2 * features[5], features[-3]
    assert groups(features) == [[5, ROWS_AT_ONCE + 9], [ROWS_AT_ONCE + 7, ROWS_AT_ONCE + 8]]


def test_autocast_does_not_blur_the_comparison():
    features = torch.randn(20, 64, generator=torch.Generator().manual_seed(0))
    features[1] = features[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert groups(features) == [[0, 1]]


def test_a_long_sentence_is_cut():
    features = torch.eye(5).repeat_interleave(5, 0)
    text = sentence(features, [f"c{i}" for i in range(25)], "tiny", "letters")
    assert text == (
        "the backbone tiny gives 25 of 25 classes of letters the same text feature as another class (c0 = c1 = c2 = c3 = .., "
        "c5 = c6 = c7 = c8 = .., c10 = c11 = c12 = c13 = .. (+2 more)): zero-shot, it cannot tell them apart, so results on "
        "them mean little"
    )
    assert sentence(torch.eye(3), ["a", "b", "c"], "tiny", "letters") is None
