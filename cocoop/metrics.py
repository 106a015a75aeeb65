"""The formulas of the benchmark's metrics. Accuracies are fractions."""

import math
from collections.abc import Sequence
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


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """Student-t confidence interval of the mean over runs; None for fewer than two runs."""
    if len(values) < 2:
        return None
    from scipy.stats import t

    half = float(t.ppf((1 + confidence) / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half
