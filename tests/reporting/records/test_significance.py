"""Tests of differences against scipy, statsmodels, published examples and numbers worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import TTestPower

from cocoop import metrics
from cocoop.reporting.records import significance

pytestmark = pytest.mark.filterwarnings("error")

NUMBERS = np.random.default_rng(5).random((14, 4)).round(1)  # with ties


def test_mcnemar_of_many_tables_is_that_of_statsmodels():
    pairs = np.array([[0, 0], [0, 1], [3, 5], [5, 3], [4, 4], [0, 30], [120, 180]])
    expected = [mcnemar([[7, one], [other, 9]], exact=True).pvalue for one, other in pairs[1:].tolist()]
    assert significance.mcnemar(*pairs.T)[1:] == pytest.approx(expected)
    assert significance.mcnemar(*pairs.T)[0] == 1.0, "no image tells them apart"


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_sign_flips_are_the_exact_permutation_test_of_scipy(seeds):
    differences = np.random.default_rng(seeds).integers(-seeds, seeds + 1, 11)
    exact = stats.permutation_test(
        (differences, np.zeros(11)),
        lambda one, other: (one - other).sum(),
        permutation_type="samples",
        n_resamples=10**6,
    )
    assert significance.sign_flip(differences) == pytest.approx(exact.pvalue)


def test_with_one_seed_sign_flips_are_mcnemars_test():
    differences = np.array([1] * 70 + [-1] * 40 + [0] * 500)
    assert significance.sign_flip(differences) == pytest.approx(significance.mcnemar(np.array(40), np.array(70)))


def test_sign_flips_of_many_images_agree_with_the_normal_distribution():
    differences = np.random.default_rng(0).integers(-10, 11, 50_000)
    z = differences.sum() / math.sqrt((differences.astype(float) ** 2).sum())
    assert significance.sign_flip(differences) == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.01)
    assert significance.sign_flip(np.ones(5000)) == significance.LEAST_P, "never 0"


def test_wilcoxon_is_exact_with_and_without_ties():
    plain, tied = [0.3, -0.1, 0.2, 0.5, 0.4, 0.7, -0.6], [0.1, 0.1, -0.1, 0.2, 0.2, 0.3, 0.0]
    assert significance.wilcoxon(plain) == pytest.approx(stats.wilcoxon(plain, method="exact").pvalue)
    method = stats.PermutationMethod(n_resamples=10**6)
    assert significance.wilcoxon(tied) == pytest.approx(stats.wilcoxon(tied[:-1], method=method).pvalue)
    assert significance.wilcoxon([0.1, 0.2, 0.3]) == pytest.approx(2 / 2**3), "the least that three datasets can give"


def test_the_paired_t_test_is_that_of_scipy():
    one, other = np.array([0.70, 0.72, 0.71, 0.69]), np.array([0.73, 0.72, 0.75, 0.70])
    assert significance.paired_t(other - one) == pytest.approx(stats.ttest_rel(other, one).pvalue)


@pytest.mark.parametrize(("variants", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_has_the_constants_of_nemenyis_test(variants, q):
    """The studentized range at 5 % divided by the square root of 2, as tables of Nemenyi's test print it."""
    expected = q * math.sqrt(variants * (variants + 1) / (6 * 14))
    assert significance.critical_difference(variants, 14) == pytest.approx(expected, rel=5e-4)


def test_friedmans_test_is_that_of_scipy():
    assert significance.friedman(NUMBERS) == pytest.approx(stats.friedmanchisquare(*NUMBERS.T).pvalue)


def test_holm_multiplies_the_smallest_p_by_the_number_of_tests():
    corrected = significance.holm(pd.Series([0.01, 0.04, np.nan, 0.03], index=list("abcd")))
    assert corrected[["a", "b", "d"]].tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(corrected["c"]) and list(corrected.index) == list("abcd")
    assert significance.holm(pd.Series([None, None], dtype="float64")).isna().all()


@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 30])
def test_what_can_be_detected_has_the_power_of_statsmodels(seeds):
    size = significance.detectable(1.0, seeds)
    solved = TTestPower().solve_power(nobs=seeds, alpha=0.025, power=0.8, alternative="larger")
    assert size == pytest.approx(float(solved), rel=1e-5), "half of 5 % on the side of the difference"
    assert significance.detectable(0.02, seeds) == pytest.approx(0.02 * size)


def test_three_seeds_detect_about_three_standard_deviations():
    """From the tables of Cohen's d of a paired t test: 3.26 for n = 3, and 0.996 for n = 10."""
    assert significance.detectable(1.0, 3) == pytest.approx(3.26, abs=0.01)
    assert significance.detectable(1.0, 10) == pytest.approx(0.996, abs=0.002)


def test_the_interval_over_images_is_that_of_scipy():
    differences = np.random.default_rng(3).integers(-3, 4, 400) / 3
    expected = stats.ttest_1samp(differences, 0).confidence_interval()
    assert significance.over_images(differences) == pytest.approx(tuple(expected))
    assert significance.over_images(np.array([1.0, 0.9]))[1] == 1.0


def test_where_a_test_says_nothing_there_is_no_result():
    assert significance.sign_flip(np.zeros(9, dtype=int)) is None
    assert significance.wilcoxon([0.0, 1e-12]) is None
    assert significance.paired_t([0.1]) is None and significance.paired_t([0.1, 0.1, 0.1]) is None
    assert significance.over_images(np.ones(2)) is None and significance.over_images(np.ones(1)) is None
    assert significance.detectable(0.0, 3) is None and significance.detectable(0.1, 1) is None
    assert significance.friedman(NUMBERS[:1]) is None and significance.friedman(NUMBERS[:, :2]) is None
    assert significance.friedman(np.ones((5, 3))) is None
    nothing = {"std": None, "seeds_low": None, "seeds_high": None, "detectable": None}
    assert significance.over_seeds([0.1]) == nothing
    assert significance.over_seeds([0.3 - 0.2, 0.1, 0.4 - 0.3]) == {**nothing, "std": 0.0}, "rounding is no spread"


def test_intervals_of_differences_stay_between_minus_one_and_one():
    assert significance.over_seeds([0.9, 1.0, 0.2])["seeds_high"] == 1.0
    assert significance.over_seeds([-0.9, -1.0, -0.2])["seeds_low"] == -1.0
    assert metrics.interval(0.5, None, 0.0, 1.0) is None and metrics.interval(None, 0.1, 0.0, 1.0) is None
