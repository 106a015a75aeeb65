"""Means, spreads, H and averages against numbers computed by hand."""

import math

import pandas as pd
import pytest

from cocoop.errors import UserError
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import statistics
from tests.reporting.records import made

ACCURACIES = {  # (variant, target, subset): accuracy of seeds 1, 2, 3
    ("coop", "digits", "base"): (0.80, 0.82, 0.84),
    ("coop", "digits", "new"): (0.60, 0.50, 0.40),
    ("coop", "shapes", "base"): (0.90, 0.90, 0.90),
    ("coop", "shapes", "new"): (0.70, 0.71, 0.72),
    ("clip", "digits", "base"): (0.70,),
    ("clip", "digits", "new"): (0.65,),
    ("clip", "shapes", "base"): (0.80,),
    ("clip", "shapes", "new"): (0.75,),
}


def lookup(key):
    values = ACCURACIES[key["variant"], key["target"], key["target_subset"]]
    return values[max(key["seed"] - 1, 0)]


def summary_of(content, accuracy):
    selected = experiments.select(content, made.records(content, accuracy))
    summary = statistics.summarize(content, selected)
    return summary.set_index(["series", "target", "metric"]).sort_index()


@pytest.fixture
def content():
    return made.experiment(variants=[made.CLIP, made.COOP])


def test_mean_and_spread_over_seeds(content):
    cell = summary_of(content, lookup).loc[("coop", "digits", "base")]
    assert cell["mean"] == pytest.approx(0.82)
    assert cell["std"] == pytest.approx(0.02)
    assert cell["std_ddof0"] == pytest.approx(0.02 * math.sqrt(2 / 3))
    assert (cell["n"], cell["expected"]) == (3, 3)
    half = 4.302652729911275 * 0.02 / math.sqrt(3)  # Student's t, 97.5 %, 2 degrees of freedom
    assert (cell["interval_low"], cell["interval_high"]) == pytest.approx((0.82 - half, 0.82 + half))


def test_h_is_of_the_mean_accuracies_and_its_spread_of_h_per_seed(content):
    cell = summary_of(content, lookup).loc[("coop", "digits", "h")]
    assert cell["mean"] == pytest.approx(2 * 0.82 * 0.5 / 1.32)
    per_seed = [2 * b * n / (b + n) for b, n in [(0.80, 0.60), (0.82, 0.50), (0.84, 0.40)]]
    assert cell["std"] == pytest.approx(pd.Series(per_seed).std(ddof=1))


def test_the_interval_of_h_is_around_the_h_that_is_shown(content):
    """Base and new that move in opposite directions: each seed has the same H, or nearly, but the H of the means is another."""
    pairs = {1: (0.9, 0.1), 2: (0.5, 0.12), 3: (0.1, 0.9)}
    summary = summary_of(content, lambda key: pairs[key["seed"] or 1][key["target_subset"] == "new"])
    cell = summary.loc[("coop", "digits", "h")]
    assert cell["interval_low"] <= cell["mean"] <= cell["interval_high"]
    h = [2 * b * n / (b + n) for b, n in pairs.values()]
    assert cell["mean"] > max(h) + 0.1, "the interval around the mean of H per seed would not contain it"


def test_intervals_never_leave_the_range_of_an_accuracy(content):
    seeds = {0: 0.5, 1: 0.0, 2: 0.02, 3: 0.3}
    summary = summary_of(content, lambda key: abs((key["target"] == "shapes") - seeds[key["seed"]]))
    there = summary.dropna(subset="interval_low")
    assert there["interval_low"].eq(0).any() and there["interval_high"].eq(1).any()
    assert there["interval_low"].ge(0).all() and there["interval_high"].le(1).all()


def test_equal_seeds_and_gaps_have_no_interval(content):
    assert summary_of(content, lambda key: 0.5)["interval_low"].isna().all()
    summary = summary_of(content, lambda key: None if key["seed"] == 3 else lookup(key))
    assert summary["interval_low"].isna().all(), "two of three seeds are not what the mean would be over"


def test_the_average_h_is_of_the_averaged_accuracies(content):
    summary = summary_of(content, lookup)
    base, new, h = (summary.loc[("coop", "average", metric)] for metric in ("base", "new", "h"))
    assert base["mean"] == pytest.approx((0.82 + 0.90) / 2)
    assert new["mean"] == pytest.approx((0.50 + 0.71) / 2)
    assert h["mean"] == pytest.approx(2 * 0.86 * 0.605 / 1.465)
    assert base["std"] == pytest.approx(pd.Series([0.85, 0.86, 0.87]).std(ddof=1))


def test_an_untrained_variant_has_one_number_and_no_spread(content):
    cell = summary_of(content, lookup).loc[("clip", "average", "h")]
    assert cell["mean"] == pytest.approx(2 * 0.75 * 0.70 / 1.45)
    assert (cell["n"], cell["expected"]) == (1, 1)
    assert cell[["std", "std_ddof0", "interval_low"]].isna().all()


def test_a_missing_seed_blanks_every_mean_over_it_and_nothing_else(content):
    gone = {"variant": "coop", "target": "digits", "target_subset": "base", "seed": 2}
    summary = summary_of(content, lambda key: None if gone.items() <= key.items() else lookup(key))
    blank = summary[summary["mean"].isna()].index.tolist()
    assert blank == [
        ("coop", "average", "base"), ("coop", "average", "h"), ("coop", "digits", "base"), ("coop", "digits", "h"),
    ]  # fmt: skip
    cell = summary.loc[("coop", "digits", "base")]
    assert (cell["n"], cell["expected"]) == (2, 3)
    assert summary.loc[("coop", "average", "base"), "n"] == 2


def test_a_missing_dataset_blanks_the_average(content):
    summary = summary_of(content, lambda key: None if key["target"] == "shapes" else lookup(key))
    assert summary.xs("average", level="target")["mean"].isna().all()
    assert summary.loc[("coop", "digits", "h"), "mean"] == pytest.approx(2 * 0.82 * 0.5 / 1.32)


def test_one_dataset_has_no_average():
    content = made.experiment(train_datasets=[{"name": "digits", "title": "Digits"}])
    summary = summary_of(content, lambda key: 0.5)
    assert set(summary.index.get_level_values("target")) == {"digits"}


def test_accuracy_zero_is_no_gap(content):
    summary = summary_of(content, lambda key: 0.0)
    assert summary["mean"].eq(0).all()


def transfer(**changes):
    return made.transfer({name: name.title() for name in ("digits", "shapes", "letters")}, **changes)


def test_the_transfer_average_is_over_the_targets_without_the_source():
    values = {"digits": 0.9, "shapes": 0.5, "letters": 0.3}
    summary = summary_of(transfer(), lambda key: values[key["target"]])
    for variant in ("clip", "coop", "cocoop"):
        assert summary.loc[(variant, "average", "all"), "mean"] == pytest.approx(0.4)
        assert summary.loc[(variant, "digits", "all"), "mean"] == pytest.approx(0.9)


def test_with_two_sources_an_untrained_variant_stands_beside_both():
    content = transfer(train_datasets=[{"name": "digits", "title": "Digits"}, {"name": "shapes", "title": "Shapes"}])
    values = {"digits": 0.9, "shapes": 0.5, "letters": 0.3}
    selected = experiments.select(content, made.records(content, lambda key: values[key["target"]]))
    summary = statistics.summarize(content, selected).set_index(["source", "series", "target"])
    assert summary.loc[("digits", "clip", "average"), "mean"] == pytest.approx(0.4)
    assert summary.loc[("shapes", "clip", "average"), "mean"] == pytest.approx(0.6)
    assert len(summary) == 2 * 3 * 4


def test_a_foreign_target_needs_a_transfer_table():
    with pytest.raises(
        UserError, match=r"not coop, 16 shots, seed 1, digits \(all\) on shapes \(all\); use table: transfer"
    ):
        summary_of(transfer(table="base_to_new"), lambda key: 0.5)


def test_parameters_of_an_average_are_blank_where_datasets_differ(content):
    records = made.records(content, lookup)
    records.loc[(records["variant"] == "coop") & (records["target"] == "shapes"), "trained"] = 999
    summary = statistics.summarize(content, experiments.select(content, records)).set_index(
        ["series", "target", "metric"]
    )
    assert summary.loc[("coop", "shapes", "h"), "trained"] == 999
    assert summary.loc[("coop", "average", "h"), "trained"] is pd.NA
    assert summary.loc[("coop", "average", "h"), "without_biases"] == 512


def test_two_thousand_records_against_plain_pandas():
    names = [f"d{number}" for number in range(11)]
    variants = [{**made.COOP, "name": f"v{number}", "label": f"V{number}"} for number in range(30)]
    content = made.experiment(train_datasets=[{"name": name, "title": name} for name in names], variants=variants)
    values = {repr(key): (place * 7919 % 1000) / 1000 for place, key in enumerate(content["expected"])}
    records = made.records(content, lambda key: values[repr(key)])
    assert len(records) == 11 * 30 * 3 * 2
    summary = statistics.summarize(content, experiments.select(content, records))
    got = summary[summary["metric"] != "h"].set_index(["variant", "target", "metric"])[["mean", "std"]]
    wanted = records.groupby(["variant", "target", "target_subset"])["accuracy"].agg(["mean", "std"])
    wanted.index.names = got.index.names
    pd.testing.assert_frame_equal(got.drop("average", level="target").sort_index(), wanted.sort_index())
    averaged = wanted["mean"].groupby(level=["variant", "metric"]).mean()
    pd.testing.assert_series_equal(got.xs("average", level="target")["mean"].sort_index(), averaged.sort_index())
