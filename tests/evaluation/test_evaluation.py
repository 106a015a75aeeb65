"""From predictions to counts: every number of a record by hand."""

import pytest

from cocoop.evaluation.counts import tally
from cocoop.metrics import harmonic_mean, interval, mean, population_std, sample_std, t_half_width

NAMES = ["cat", "dog", "fish", "tree"]


def test_tally_by_hand():
    truth, predicted = [0, 0, 0, 2, 2], [0, 2, 2, 2, 0]
    found = tally(truth, predicted, [0, 2], NAMES)
    assert (found["correct"], found["total"]) == (2, 5)
    assert found["accuracy"] == 0.4
    assert found["mean_class_accuracy"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert found["macro_f1"] == pytest.approx((2 / 5 + 2 / 5) / 2)
    assert found["classes"] == [
        {"name": "cat", "label": 0, "correct": 1, "total": 3},
        {"name": "fish", "label": 2, "correct": 1, "total": 2},
    ]
    assert found["confusions"] == [
        {"true": 0, "predicted": 2, "count": 2},
        {"true": 2, "predicted": 0, "count": 1},
    ]


def test_class_without_an_image_counts_in_no_mean():
    found = tally([0, 0], [0, 1], [0, 1], NAMES)
    assert found["mean_class_accuracy"] == 0.5
    assert found["macro_f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("base", "new", "h"), [(0.8269, 0.6322, 0.7166), (0.8047, 0.7169, 0.7583), (0.6934, 0.7422, 0.7170)]
)
def test_harmonic_mean_of_the_paper_s_averages(base, new, h):
    assert round(harmonic_mean(base, new), 4) == h


def test_missing_stays_missing():
    assert harmonic_mean(None, 0.5) is None
    assert harmonic_mean(0.0, 0.0) == 0.0
    assert mean([0.5, None]) is None
    assert mean([]) is None


def test_spread():
    assert sample_std([1.0, 2.0, 3.0]) == 1.0
    assert population_std([1.0, 3.0]) == 1.0
    assert sample_std([1.0]) is None
    half = t_half_width(1.0, 3)
    assert half == pytest.approx(4.302652729696142 / 3**0.5)
    assert interval(2.0, half, 0.0, 4.0) == (0.0, 4.0)
    assert interval(2.0, half, -9.0, 9.0) == pytest.approx((2.0 - half, 2.0 + half))
    assert t_half_width(1.0, 1) is None
