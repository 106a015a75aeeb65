"""Comparisons over datasets and average ranks, from summaries with numbers that can be worked out by hand."""

import math

import pytest
from scipy import stats

from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import over_datasets, statistics
from tests.reporting.records import made

pytestmark = pytest.mark.filterwarnings("error")

NAMES = ("a", "b", "c", "d", "e", "f")
CLIP = (0.50, 0.60, 0.70, 0.80, 0.40, 0.30)
COOP = (0.55, 0.61, 0.70, 0.90, 0.38, 0.33)
COCOOP = (0.60, 0.62, 0.71, 0.85, 0.45, 0.30)
MEANS = {"clip": CLIP, "coop": COOP, "cocoop": COCOOP}
STEP = {0: 0.0, 1: -0.01, 2: 0.0, 3: 0.01}


def content(names=NAMES, **changes):
    datasets = [{"name": name, "title": name.upper()} for name in names]
    return made.experiment(train_datasets=datasets, target_subsets=["base"], **changes)


def accuracy(key):
    return MEANS[key["variant"]][NAMES.index(key["target"])] + STEP[key["seed"]]


def summary_of(experiment, value=accuracy):
    return statistics.summarize(experiment, experiments.select(experiment, made.records(experiment, value)))


def test_a_pair_is_compared_over_the_means_of_all_datasets():
    frame = over_datasets.compare(content(), summary_of(content()))
    assert frame[["first", "second"]].to_numpy().tolist() == [["clip", "coop"], ["clip", "cocoop"], ["coop", "cocoop"]]
    row = frame.iloc[0]
    differences = [0.05, 0.01, 0.0, 0.1, -0.02, 0.03]
    assert row["difference"] == pytest.approx(sum(differences) / 6)
    assert (row["datasets"], row["wins"], row["ties"], row["losses"]) == (6, 4, 1, 1)
    test = stats.ttest_1samp(differences, 0)
    assert row["t_p"] == pytest.approx(test.pvalue)
    assert (row["interval_low"], row["interval_high"]) == pytest.approx(tuple(test.confidence_interval()))
    without_zero = [value for value in differences if value]
    assert row["wilcoxon_p"] == pytest.approx(stats.wilcoxon(without_zero, method="exact").pvalue)


def test_p_is_corrected_for_all_pairs_of_the_table():
    frame = over_datasets.compare(content(), summary_of(content()))
    smallest = frame["wilcoxon_p"].min()
    assert frame.loc[frame["wilcoxon_p"].idxmin(), "wilcoxon_p_holm"] == pytest.approx(min(1, 3 * smallest))
    assert (frame["wilcoxon_p_holm"] >= frame["wilcoxon_p"]).all() and (frame["t_p_holm"] >= frame["t_p"]).all()


def test_average_ranks_are_over_datasets_and_ties_share_a_rank():
    found = over_datasets.ranks(content(), summary_of(content()))
    ranks = dict(zip(found["variant"], found["rank"], strict=True))
    assert ranks == pytest.approx({"cocoop": (1 + 1 + 1 + 2 + 1 + 2.5) / 6, "coop": (2 + 2 + 2.5 + 1 + 3 + 1) / 6,
                                   "clip": (3 + 3 + 2.5 + 3 + 2 + 2.5) / 6})  # fmt: skip
    assert list(found["variant"]) == sorted(ranks, key=ranks.get), "best first"
    assert found["friedman_p"].nunique() == 1
    assert found["friedman_p"].iloc[0] == pytest.approx(stats.friedmanchisquare(CLIP, COOP, COCOOP).pvalue)


def test_a_reference_comes_first_in_its_pairs():
    experiment = content(reference="coop")
    frame = over_datasets.compare(experiment, summary_of(experiment))
    assert frame[["first", "second"]].to_numpy().tolist() == [["coop", "clip"], ["coop", "cocoop"]]


def test_missing_results_leave_the_numbers_blank():
    summary = summary_of(
        content(), lambda key: None if (key["variant"], key["target"]) == ("coop", "c") else accuracy(key)
    )
    frame = over_datasets.compare(content(), summary)
    with_coop = frame[(frame["first"] == "coop") | (frame["second"] == "coop")]
    numbers = over_datasets.COLUMNS[over_datasets.COLUMNS.index("difference") :]
    assert len(with_coop) == 2 and with_coop[numbers].isna().all().all()
    assert frame.loc[frame["second"] == "cocoop", numbers].iloc[0].notna().all()
    assert set(over_datasets.ranks(content(), summary)["variant"]) == {"clip", "cocoop"}


def test_equal_variants_have_no_test_and_no_interval():
    frame = over_datasets.compare(content(), summary_of(content(), lambda key: 0.5))
    assert frame["difference"].eq(0).all() and frame["ties"].eq(6).all()
    assert frame[["t_p", "wilcoxon_p", "t_p_holm", "wilcoxon_p_holm", "interval_low"]].isna().all().all()
    assert over_datasets.ranks(content(), summary_of(content(), lambda key: 0.5))["friedman_p"].isna().all()


def test_one_dataset_is_nothing_to_compare_over():
    experiment = content(NAMES[:1])
    assert over_datasets.compare(experiment, summary_of(experiment)).empty
    assert over_datasets.ranks(experiment, summary_of(experiment)).empty


def test_h_is_compared_like_base_and_new():
    experiment = made.experiment(train_datasets=[{"name": name, "title": name} for name in NAMES])
    frame = over_datasets.compare(
        experiment, summary_of(experiment, lambda key: accuracy(key) / (1 + (key["target_subset"] == "new")))
    )
    assert frame["metric"].drop_duplicates().tolist() == ["base", "new", "h"]
    harmonic = [2 * v * (v / 2) / (v + v / 2) for v in CLIP], [2 * v * (v / 2) / (v + v / 2) for v in COOP]
    wanted = sum(b - a for a, b in zip(*harmonic, strict=True)) / 6
    assert frame[frame["metric"] == "h"].iloc[0]["difference"] == pytest.approx(wanted)


def test_each_number_of_shots_is_compared_with_the_untrained():
    experiment = made.experiment("curves", train_datasets=[{"name": n, "title": n} for n in NAMES], shots=[1, 16],
                                 target_subsets=["all"], train_subset="all", variants=[made.CLIP, made.COOP])  # fmt: skip
    frame = over_datasets.compare(experiment, summary_of(experiment, lambda key: accuracy(key) + 0.001 * key["shots"]))
    assert frame[["shots", "first", "second"]].to_numpy().tolist() == [[1, "clip", "coop"], [16, "clip", "coop"]]
    assert frame["difference"].diff().iloc[1] == pytest.approx(0.015)


def test_the_source_of_a_transfer_is_left_out():
    experiment = made.transfer({name: name for name in NAMES})
    frame = over_datasets.compare(experiment, summary_of(experiment))
    assert frame["datasets"].eq(5).all() and frame["source"].eq("a").all()
    wanted = sum(b - a for a, b in zip(CLIP[1:], COOP[1:], strict=True)) / 5
    assert frame.iloc[0]["difference"] == pytest.approx(wanted)


def test_intervals_over_datasets_stay_in_their_range():
    experiment = content(NAMES[:2], variants=[made.CLIP, made.COOP])
    frame = over_datasets.compare(
        experiment,
        summary_of(experiment, lambda key: {"clip": 0.0, "coop": {"a": 0.9, "b": 0.99}[key["target"]]}[key["variant"]]),
    )
    row = frame.iloc[0]
    assert row["interval_high"] == 1.0 and row["interval_low"] < row["difference"] < 1
    assert math.isclose(row["wilcoxon_p"], 0.5), "the least that two datasets can give"


def test_two_untrained_variants_are_one_pair_whatever_the_numbers_of_shots():
    ensemble = made.CLIP | {"name": "cocoop", "label": "CLIP, ensemble"}
    curves = content(table="curves", shots=[1, 4], variants=[made.CLIP, ensemble, made.COOP])
    frame = over_datasets.compare(curves, summary_of(curves))
    pairs = frame[["first", "second", "shots"]].itertuples(index=False, name=None)
    assert sorted(pairs) == [
        ("clip", "cocoop", 0), ("clip", "coop", 1), ("clip", "coop", 4), ("cocoop", "coop", 1), ("cocoop", "coop", 4),
    ]  # fmt: skip
    smallest = frame["t_p"].min()
    assert frame.loc[frame["t_p"].idxmin(), "t_p_holm"] == pytest.approx(min(1, 5 * smallest))
