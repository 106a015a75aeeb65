"""The formulas of the benchmark's metrics. Accuracies are fractions."""

import math
from collections.abc import Sequence
from functools import cache
from statistics import fmean, pstdev, stdev


def accuracy(correct: int, total: int) -> float | None:
    """Fraction of images predicted correctly (micro average, as Dassl evaluator.py:55); None if there are no images."""
    return correct / total if total else None


def mean_class_accuracy(correct: Sequence[int], total: Sequence[int]) -> float | None:
    """Mean accuracy over the classes that have images; None if no class does."""
    rates = [hit / count for hit, count in zip(correct, total, strict=True) if count]
    return fmean(rates) if rates else None


def harmonic_mean(base: float | None, new: float | None) -> float | None:
    """H = 2bn/(b+n) (CoCoOp, section 4.1); 0 if both are 0; None if one is missing."""
    if base is None or new is None:
        return None
    return 2 * base * new / (base + new) if base + new else 0.0


def mean(values: Sequence[float | None]) -> float | None:
    """Arithmetic mean; None (shown blank) if any value is missing."""
    present = [value for value in values if value is not None]
    return fmean(present) if present and len(present) == len(values) else None


def sample_std(values: Sequence[float]) -> float | None:
    """Standard deviation over runs with ddof 1; None for fewer than two runs."""
    return stdev(values) if len(values) > 1 else None


def population_std(values: Sequence[float]) -> float | None:
    """Standard deviation with ddof 0, as the reference's parse_test_res.py:117 prints it."""
    return pstdev(values) if values else None


def t_half_width(std: float | None, values: int, confidence: float = 0.95) -> float | None:
    """Half the width of Student's t interval of the mean of so many values; None for fewer than two, and without spread.

    std: their standard deviation (ddof 1). Equal values say nothing about their spread: a width of 0 would claim certainty.
    """
    return None if values < 2 or not std else _t_factor(values, confidence) * std / math.sqrt(values)


@cache
def _t_factor(values: int, confidence: float) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, values - 1))


def interval(middle: float | None, half: float | None, low: float, high: float) -> tuple[float, float] | None:
    """The interval around `middle`, cut to the values that are possible; None if a part is missing.

    low, high: 0 and 1 for an accuracy or H, -1 and 1 for a difference of two. What is measured lies within this range, so
    the cut removes no possible value and does not change the coverage.
    """
    if middle is None or half is None:
        return None
    return max(middle - half, low), min(middle + half, high)
