"""Every measure by hand, and against a second implementation on random predictions."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, f1_score, log_loss, roc_auc_score, top_k_accuracy_score

from cocoop import io
from cocoop.config import measures as names
from cocoop.config.validation import of_key
from cocoop.evaluation import measures
from cocoop.evaluation.counts import tally
from cocoop.reporting.tables.measures import SHOWN

RIGHT = np.array([True, False, True, True, False])
CONFIDENCE = np.array([0.9, 0.8, 0.5, 0.5, 0.2])


def predictions(seed: int, images: int = 200, classes: int = 7, digits: int | None = None):
    """Probabilities (N, C) and labels (N,), all classes there; digits: of the probabilities before normalisation, for ties."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(images, classes)) * 2
    probabilities = np.exp(logits)
    if digits is not None:
        probabilities = np.round(probabilities, digits) + 0.5
    truth = np.concatenate([np.arange(classes), draw.integers(classes, size=images - classes)])
    return probabilities / probabilities.sum(1, keepdims=True), truth


def kept(probabilities, truth):
    """What an evaluation keeps of these predictions."""
    own = probabilities[np.arange(len(truth)), truth]
    rank = 1 + (probabilities > own[:, None]).sum(1)
    return (
        probabilities.argmax(1) == truth,
        probabilities.max(1),
        np.log(own),
        rank,
        np.square(probabilities).sum(1),
    )


def test_calibration_errors_by_hand():
    """Bins of a tenth, closed on the right: (0.1, 0.2], (0.4, 0.5], (0.7, 0.8], (0.8, 0.9]."""
    gaps = [1 * 0.2, 2 * (1 - 0.5), 1 * 0.8, 1 * (1 - 0.9)]
    assert measures.ece(RIGHT, CONFIDENCE, 10) == pytest.approx(sum(gaps) / 5)
    assert measures.mce(RIGHT, CONFIDENCE) == pytest.approx(0.8)
    assert measures.reliability(RIGHT, CONFIDENCE, 2) == {
        "images": [3, 2], "confidence": pytest.approx([1.2, 1.7]), "right": [2, 1],
    }  # fmt: skip
    two = measures.adaptive_ece(RIGHT, CONFIDENCE, 2)  # 0.2 alone below the median 0.5, all others above
    assert two == pytest.approx((0.2 + abs(3 - 2.7)) / 5)


def test_risk_by_hand_with_equal_confidences_in_any_order():
    """The five most confident: right, wrong, two right ones that tie, wrong."""
    assert measures.risk_coverage(RIGHT, CONFIDENCE, 5) == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4, 2 / 5])
    assert measures.aurc(RIGHT, CONFIDENCE) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4 + 2 / 5) / 5)
    tied = np.array([0.5, 0.5])
    assert measures.aurc(np.array([True, False]), tied) == measures.aurc(np.array([False, True]), tied) == 0.5
    assert measures.risk_coverage(RIGHT, CONFIDENCE, 2) == pytest.approx([1 / 3, 2 / 5])  # three images, five images


def test_scores_of_probabilities_by_hand():
    probabilities, truth = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]]), np.array([0, 2])
    found = measures.of_classes(*kept(probabilities, truth))
    assert found["nll"] == pytest.approx(-(np.log(0.7) + np.log(0.2)) / 2)
    assert found["brier"] == pytest.approx(((0.3**2 + 0.2**2 + 0.1**2) + (0.5**2 + 0.3**2 + 0.8**2)) / 2)
    assert found["top_5"] == 1.0


@pytest.mark.parametrize("digits", [None, 1])
@pytest.mark.parametrize("seed", range(3))
def test_measures_agree_with_scikit_learn_and_definitions(seed, digits):
    probabilities, truth = predictions(seed, digits=digits)
    right, confidence, *rest = kept(probabilities, truth)
    found, classes = measures.of_classes(right, confidence, *rest), np.arange(7)
    assert found["nll"] == pytest.approx(log_loss(truth, probabilities, labels=classes))
    squared = brier_score_loss(truth, probabilities, labels=classes, scale_by_half=False)
    assert found["brier"] == pytest.approx(squared)
    if digits is None:  # scikit-learn breaks ties in another way
        assert found["top_5"] == pytest.approx(top_k_accuracy_score(truth, probabilities, k=5))
    counts = tally(truth.tolist(), probabilities.argmax(1).tolist(), classes.tolist(), [str(c) for c in classes])
    assert counts["macro_f1"] == pytest.approx(f1_score(truth, probabilities.argmax(1), average="macro"))
    for name, bins in (("ece", 15), ("ece_10", 10)):
        inside = [(confidence > i / bins) & (confidence <= (i + 1) / bins) for i in range(bins)]
        gaps = [(part.sum(), abs(right[part].mean() - confidence[part].mean())) for part in inside if part.any()]
        assert found[name] == pytest.approx(sum(n * gap for n, gap in gaps) / len(right))
        assert name == "ece_10" or found["mce"] == pytest.approx(max(gap for _, gap in gaps))
    errors = np.mean([_mean_risk(right, confidence, np.random.default_rng(i)) for i in range(200)])
    assert found["aurc"] == pytest.approx(errors, abs=1e-12 if digits is None else 2e-3)


def _mean_risk(right, confidence, draw) -> float:
    """The literal mean over k, with ties in random order."""
    order = np.lexsort([draw.random(len(right)), -confidence])
    return float(np.mean([1 - right[order[:k]].mean() for k in range(1, len(right) + 1)]))


def test_adaptive_bins_have_equally_many_images():
    draw = np.random.default_rng(0)
    confidence, right = draw.random(151), draw.random(151) < 0.5
    groups = np.array_split(np.argsort(confidence), 15)
    assert {len(group) for group in groups} == {10, 11}
    edges = [151 * place // 15 for place in range(16)]
    ordered = np.argsort(confidence)
    parts = [ordered[low:high] for low, high in pairwise(edges)]
    expected = sum(abs(right[part].sum() - confidence[part].sum()) for part in parts) / 151
    assert measures.adaptive_ece(right, confidence) == pytest.approx(expected)
    assert measures.adaptive_ece(np.array([True, False]), np.array([0.5, 0.5])) == 0.0  # one bin


@pytest.mark.parametrize(("hit", "errors"), [(True, 0.0), (False, 1.0)])
def test_all_right_and_all_wrong_are_the_ends(hit, errors):
    right, sure = np.full(20, hit), np.ones(20)
    found = measures.of_classes(right, sure, np.where(right, 0.0, -50.0), np.where(right, 1, 9), sure)
    assert found["ece"] == found["mce"] == found["adaptive_ece"] == found["aurc"] == errors
    assert found["top_5"] == 1 - errors
    assert found["brier"] == pytest.approx(2 * errors)
    assert measures.risk_coverage(right, sure) == [errors] * 20


def test_one_class_is_certain_and_nothing_gives_nothing():
    one = measures.of_classes(np.array([True]), np.ones(1), np.zeros(1), np.ones(1, int), np.ones(1))
    assert one == {"top_5": 1, "ece": 0, "ece_10": 0, "adaptive_ece": 0, "mce": 0, "nll": 0, "brier": 0, "aurc": 0}
    nothing = np.zeros(0)
    assert set(measures.of_classes(nothing > 0, *[nothing] * 4).values()) == {None}
    assert measures.risk_coverage(nothing > 0, nothing) == []
    assert measures.auroc(nothing, np.ones(3)) is None


def halves(seed: int, digits: int | None = None, base: int = 4, new: int = 3):
    """Logits (N, C) and labels of the images of both halves, and each `Half`."""
    draw = np.random.default_rng(seed)
    found = []
    for first, last in ((0, base), (base, base + new)):
        logits = draw.normal(size=(60, base + new)) * 2
        logits = logits if digits is None else np.round(logits, digits)
        truth = draw.integers(first, last, size=60)
        logits[np.arange(60), truth] += 1
        own = logits[:, first:last]
        other = np.delete(logits, np.arange(first, last), 1)
        sums = [np.log(np.exp(part).sum(1)) for part in (own, other)]
        right = own.argmax(1) + first == truth
        found.append((logits, truth, measures.Half(right, own.max(1), sums[0], other.max(1), sums[1])))
    return found


@pytest.mark.parametrize("digits", [None, 0])
def test_accuracy_among_all_classes_is_that_of_all_logits(digits):
    (logits, truth, base), (new_logits, new_truth, new) = halves(0, digits)
    of_base, of_new = measures.of_both(base, new)
    hits = logits.argmax(1) == truth, new_logits.argmax(1) == new_truth  # argmax takes the first of equal logits
    assert of_base["joint_accuracy"] == pytest.approx(hits[0].mean())
    assert of_new["joint_accuracy"] == pytest.approx(hits[1].mean())
    assert of_base["overall_accuracy"] == of_new["overall_accuracy"] == pytest.approx(np.concatenate(hits).mean())


@pytest.mark.parametrize("seed", range(3))
def test_both_halves_agree_with_every_pair_counted(seed):
    (logits, _, base), (new_logits, _, new) = halves(seed)
    of_base, of_new = measures.of_both(base, new)
    probabilities = [np.exp(part) / np.exp(part).sum(1, keepdims=True) for part in (logits, new_logits)]
    scores = [part[:, :4].max(1) for part in probabilities]
    labels = np.repeat([1, 0], 60)
    assert of_base["auroc"] == pytest.approx(roc_auc_score(labels, np.concatenate(scores)))
    energy = [np.log(np.exp(part[:, :4]).sum(1)) for part in (logits, new_logits)]
    assert of_base["auroc_energy"] == pytest.approx(roc_auc_score(labels, np.concatenate(energy)))
    above = scores[0][:, None] > scores[1]
    assert of_base["openworld_auc"] == pytest.approx((above * base.right[:, None] * new.right).mean())
    assert of_base["openworld_auc"] <= of_base["auroc"]
    assert {name: of_base[name] for name in names.PAIRWISE} == {name: of_new[name] for name in names.PAIRWISE}


def test_equal_scores_count_a_half_as_in_scikit_learn():
    draw = np.random.default_rng(0)
    first, second = draw.integers(6, size=50) + 1.0, draw.integers(6, size=40) * 1.0
    expected = roc_auc_score(np.repeat([1, 0], [50, 40]), np.concatenate([first, second]))
    assert measures.auroc(first, second) == pytest.approx(expected)
    assert measures.auroc(np.ones(3), np.ones(2)) == 0.5


def test_openworld_auc_by_hand():
    """Two base images, the second wrong, and two new ones, the second wrong: one pair of four counts, if it is in order."""
    base = measures.Half(np.array([True, False]), *np.array([[5.0, 9.0], [5.0, 9.0], [1.0, 1.0], [1.0, 1.0]]))
    new = measures.Half(np.array([True, False]), *np.array([[4.0, 9.0], [4.0, 9.0], [2.0, 1.0], [2.0, 1.0]]))
    assert measures.of_both(base, new)[0]["openworld_auc"] == 0.25
    assert measures.of_both(base, new)[0]["auroc"] == 1.0
    assert measures.of_both(new, base)[0]["openworld_auc"] == 0.25
    wrong = base._replace(right=np.array([False, False]))
    assert measures.of_both(wrong, new)[0]["openworld_auc"] == 0.0


def test_names_are_the_same_in_schema_tables_and_documentation():
    assert of_key("experiment", "measures")["items"]["enum"] == list(names.ASKED)
    assert set(SHOWN) == set(names.ASKED)
    page = (io.REPOSITORY / "docs/measures.md").read_text()
    assert not [name for name in names.ASKED if f"| `{name}` |" not in page]
