"""The measures beside accuracy, from what an evaluation keeps of each image (docs/measures.md has definitions and sources).

All functions take arrays (N,) of N images: `right`, whether the predicted class is the true one; `confidence`, the probability of
the predicted class; `log_probability`, the natural logarithm of the true class's probability. They return None without images.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cocoop.config.measures import JOINT, OVERALL

BINS, RISKS = 15, 20


class Half(NamedTuple):
    """N images of one half of the classes, classified among their own half and among the other one.

    right (N,): among the classes of their own half; largest, logsumexp (N,): of the logits of these classes; other_largest,
    other_logsumexp (N,): of the other half's.
    """

    right: np.ndarray
    largest: np.ndarray
    logsumexp: np.ndarray
    other_largest: np.ndarray
    other_logsumexp: np.ndarray


def of_classes(
    right: np.ndarray, confidence: np.ndarray, log_probability: np.ndarray, rank: np.ndarray, squares: np.ndarray
) -> dict[str, float | None]:
    """The measures `OF_CLASSES`. rank (N,): of the true class, from 1; squares (N,): the sum of all squared probabilities."""
    return {
        "top_5": _mean(rank <= 5),
        "ece": ece(right, confidence),
        "ece_10": ece(right, confidence, 10),
        "adaptive_ece": adaptive_ece(right, confidence),
        "mce": mce(right, confidence),
        "nll": _mean(-log_probability.astype(float)),
        "brier": _mean(brier(log_probability, squares)),
        "aurc": _mean(_risks(right, confidence)),
    }


def brier(log_probability: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Each image's sum over classes of (probability - 1 if it is the true class, else 0) squared, from 0 to 2 (Brier, 1950)."""
    return squares.astype(float) - 2 * np.exp(log_probability.astype(float)) + 1


def reliability(right: np.ndarray, confidence: np.ndarray, bins: int = BINS) -> dict[str, list[float]]:
    """Number of images, sum of confidences and number of right answers in bins of equal width, each closed on its right."""
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    return _binned(right, confidence, np.searchsorted(edges, confidence.astype(float), side="left"), bins)


def ece(right: np.ndarray, confidence: np.ndarray, bins: int = BINS) -> float | None:
    """Expected calibration error: mean |accuracy - confidence| of the bins, weighted by their images (Guo et al., ICML 2017)."""
    return _weighted(reliability(right, confidence, bins), len(right))


def mce(right: np.ndarray, confidence: np.ndarray) -> float | None:
    """Maximum calibration error: the largest |accuracy - confidence| of a bin that has images (Naeini et al., AAAI 2015)."""
    if not len(right):
        return None
    found = {name: np.array(values) for name, values in reliability(right, confidence).items()}
    there = found["images"] > 0
    return float((np.abs(found["right"] - found["confidence"])[there] / found["images"][there]).max())


def adaptive_ece(right: np.ndarray, confidence: np.ndarray, bins: int = BINS) -> float | None:
    """ECE with bins of equally many images; images of equal confidence share a bin (Nguyen and O'Connor, EMNLP 2015)."""
    if not len(right):
        return None
    ordered = np.sort(confidence.astype(float))
    edges = ordered[[len(ordered) * place // bins for place in range(1, bins)]]
    return _weighted(_binned(right, confidence, np.searchsorted(edges, confidence, side="right"), bins), len(right))


def aurc(right: np.ndarray, confidence: np.ndarray) -> float | None:
    """Mean error of the k most confident images over k = 1 .. N (Geifman and El-Yaniv, NeurIPS 2017; Geifman et al., ICLR 2019).

    Images of equal confidence count as if in random order: each has the mean error of all of them.
    """
    return _mean(_risks(right, confidence))


def risk_coverage(right: np.ndarray, confidence: np.ndarray, points: int = RISKS) -> list[float]:
    """The error of the most confident images at the coverages 1/points, 2/points, .. 1; empty without images."""
    risks, count = _risks(right, confidence), len(right)
    return [float(risks[-(-count * place // points) - 1]) for place in range(1, points + 1)] if count else []


def of_both(base: Half, new: Half) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """The measures `OF_BOTH` of base and of new images; all but the first are the same for both.

    joint_accuracy: the true class is the most probable of all classes; equal logits go to the lower label, a base class.
    auroc: a base image has a higher probability of its most probable base class, among all classes, than a new image.
    auroc_energy: the same of the log-sum-exp of the base logits (Liu et al., NeurIPS 2020).
    openworld_auc: of a base and a new image, both are right among the classes of their own half, and the base image has the
    higher score of `auroc` (Hua et al., ICML 2025, as an area: a wrong base image gets the lowest score, a wrong new one the
    highest). Equal scores count a half, as in any area under a ROC curve.
    """
    joint = base.right & (base.largest >= base.other_largest), new.right & (new.largest > new.other_largest)
    overall = _mean(np.concatenate(joint))
    score = _score(base.largest, base, base.other_logsumexp), _score(new.other_largest, new, new.other_logsumexp)
    pairwise = {
        "auroc": auroc(*score),
        "auroc_energy": auroc(base.logsumexp, new.other_logsumexp),
        "openworld_auc": auroc(np.where(base.right, score[0], -np.inf), np.where(new.right, score[1], np.inf)),
    }
    first, second = ({JOINT: _mean(hits), OVERALL: overall, **pairwise} for hits in joint)
    return first, second


def auroc(higher: np.ndarray, lower: np.ndarray) -> float | None:
    """Probability that one of the first scores exceeds one of the second, equal ones counting a half; None without either."""
    if not len(higher) or not len(lower):
        return None
    # scikit-learn's roc_auc_score refuses infinite scores.
    ordered, higher = np.sort(lower.astype(float)), higher.astype(float)
    below, not_above = (np.searchsorted(ordered, higher, side) for side in ("left", "right"))
    return float((below + not_above).sum() / (2 * len(higher) * len(lower)))


def _score(largest_of_base: np.ndarray, half: Half, other: np.ndarray) -> np.ndarray:
    """Log-probability of the most probable base class among all classes."""
    return largest_of_base.astype(float) - np.logaddexp(half.logsumexp.astype(float), other.astype(float))


def _risks(right: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The error of the k most confident images, for k = 1 .. N."""
    _, group, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    wrong = np.bincount(group, ~right, len(sizes)) / np.maximum(sizes, 1)
    return np.cumsum(np.repeat(wrong, sizes)) / np.arange(1, len(right) + 1)


def _binned(right: np.ndarray, confidence: np.ndarray, place: np.ndarray, bins: int) -> dict[str, list[float]]:
    weights: Mapping[str, np.ndarray] = {"images": np.ones(len(right)), "confidence": confidence, "right": right}
    return {name: np.bincount(place, weight, bins).tolist() for name, weight in weights.items()}


def _weighted(binned: Mapping[str, list[float]], images: int) -> float | None:
    gaps = np.abs(np.subtract(binned["right"], binned["confidence"]))
    return float(gaps.sum() / images) if images else None


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values, dtype=float)) if len(values) else None
