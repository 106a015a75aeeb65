"""Tests of a difference between two variants, corrections for many tests, and the smallest difference that could be found.

Where a test says nothing (no differences, a single value, no spread), its result is missing, never NaN from a division by zero.
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd

from cocoop import metrics

LEVEL, POWER = 0.05, 0.8
LEAST_P = 1e-12  # a sum of rounding errors lies below
DIGITS = 9  # means that differ by less are equal: what differs is rounding


def mcnemar(only_first: np.ndarray, only_second: np.ndarray) -> np.ndarray:
    """p of McNemar's exact test (two-sided), from the numbers of images that only one of two variants gets right.

    1 if there are none. Equal to `statsmodels.stats.contingency_tables.mcnemar(exact=True)`, for many tests at once.
    """
    from scipy.stats import binom

    return np.minimum(1.0, 2 * binom.cdf(np.minimum(only_first, only_second), only_first + only_second, 0.5))


def sign_flip(differences: np.ndarray) -> float | None:
    """p of the exact paired permutation test (two-sided) of whole numbers: any sign of each is as likely as the other.

    The distribution of the sum has the characteristic function prod(cos(t * difference)), which a Fourier transform inverts.
    With differences of -1, 0 and 1, this is McNemar's exact test. None if all are zero.
    """
    from scipy.fft import irfft, next_fast_len

    sizes, counts = np.unique(np.abs(differences[differences != 0]).astype(np.int64), return_counts=True)
    if not len(sizes):
        return None
    most = int(sizes @ counts)
    length = next_fast_len(2 * most + 1, real=True)
    frequencies = 2 * np.pi / length * np.arange(length // 2 + 1)
    transformed = np.prod(np.cos(np.outer(sizes, frequencies)) ** counts[:, None], axis=0)
    chances = irfft(transformed, length)  # of the sums 0, 1, .., most, (none,) -most, .., -1
    extreme = abs(int(differences.sum()))
    return float(np.clip(2 * chances[max(extreme, 1) : most + 1].sum() + chances[0] * (not extreme), LEAST_P, 1.0))


def wilcoxon(differences: Sequence[float]) -> float | None:
    """p of Wilcoxon's signed-rank test (two-sided), exact even with ties; zeros are left out. None if all are zero.

    Source: Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 2006.
    """
    from scipy.stats import rankdata

    there = np.round([value for value in differences if round(value, DIGITS)], DIGITS)
    return sign_flip(np.round(2 * np.sign(there) * rankdata(np.abs(there)))) if len(there) else None


def paired_t(differences: Sequence[float]) -> float | None:
    """p of the paired t test (two-sided); None for fewer than two differences or without spread."""
    from scipy.stats import ttest_1samp

    if len(differences) < 2 or not round(float(np.ptp(differences)), DIGITS):
        return None
    return float(ttest_1samp(differences, 0.0).pvalue)


def friedman(ranked: np.ndarray) -> float | None:
    """p of Friedman's test of the numbers of N datasets and k variants (N, k); None for fewer than 3 variants or 2 datasets.

    None, too, if all variants are equal on every dataset.
    """
    from scipy.stats import friedmanchisquare

    datasets, variants = ranked.shape
    if datasets < 2 or variants < 3 or (ranked == ranked[:, :1]).all():
        return None
    return float(friedmanchisquare(*ranked.T).pvalue)


def critical_difference(variants: int, datasets: int) -> float:
    """The least difference of two average ranks that is significant (Nemenyi's test; Demsar 2006, section 3.2.2)."""
    return _studentized(variants) * math.sqrt(variants * (variants + 1) / (6 * datasets))


@cache
def _studentized(variants: int) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - LEVEL, variants, np.inf)) / math.sqrt(2)


def holm(p: pd.Series) -> pd.Series:
    """p corrected for the number of tests by Holm's method; a missing p is no test and stays missing."""
    from statsmodels.stats.multitest import multipletests

    there = p.dropna().astype(float)
    corrected = multipletests(there, method="holm")[1] if len(there) else []
    return pd.Series(corrected, index=there.index, dtype="float64").reindex(p.index)


def detectable(std: float | None, values: int) -> float | None:
    """The smallest true difference that a paired t test finds with a chance of `POWER`, at the level `LEVEL` (two-sided).

    std: of the differences, in their unit, which is also that of the result. None for fewer than two values or without spread.
    """
    return None if values < 2 or not std or pd.isna(std) else _effect(values) * std


@cache
def _effect(values: int) -> float:
    """The effect size (mean over standard deviation) that so many paired differences can detect."""
    from scipy.optimize import brentq
    from statsmodels.stats.power import TTestPower

    def lacking(size: float) -> float:
        # The other side of the two-sided test, which has no part in this power, is NaN in scipy's distribution.
        return POWER - TTestPower().power(size, values, LEVEL / 2, alternative="larger")

    return float(brentq(lacking, 0.0, 20.0))


def over_images(differences: np.ndarray) -> tuple[float, float] | None:
    """The 95 % interval (Student's t) of the mean difference over test images; None for a single image or equal images."""
    std = float(differences.std(ddof=1)) if len(differences) > 1 else None
    return metrics.interval(float(differences.mean()), metrics.t_half_width(std, len(differences)), -1.0, 1.0)


def over_seeds(differences: Sequence[float]) -> dict[str, float | None]:
    """The standard deviation (ddof 1) of differences of seeds, the 95 % t interval of their mean, and what they can detect."""
    differences = [round(value, DIGITS) for value in differences]
    std = metrics.sample_std(differences)
    half = metrics.t_half_width(std, len(differences))
    low, high = metrics.interval(metrics.mean(differences), half, -1.0, 1.0) or (None, None)
    return {"std": std, "seeds_low": low, "seeds_high": high, "detectable": detectable(std, len(differences))}
