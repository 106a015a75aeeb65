"""Paired comparison against numbers worked out by hand."""

import math
from itertools import product

import numpy as np
import pytest

from cocoop import io
from cocoop.errors import UserError
from cocoop.reporting.records import paired
from cocoop.reporting.records import records as results
from cocoop.reporting.records.paired import Answers, Place
from cocoop.reporting.tables import comparison
from tests.reporting.records import made


def marks(*rows):
    seeds = {seed: np.array([mark == "+" for mark in row]) for seed, row in rows}
    return Answers(np.arange(len(rows[0][1])), seeds)


def compare(reference=None, **parts):
    digits = [{"name": "digits", "title": "Digits"}]
    content = made.experiment(train_datasets=digits, target_subsets=["base"], reference=reference)
    results = {}
    for variant, result in parts.items():
        trained = variant != "clip"
        results[Place("digits", "base", variant, 16 * trained, "digits" if trained else "")] = result
    return paired.compare(content, results)


def test_mcnemar_counts_the_images_that_only_one_gets_right():
    one, other = marks((1, "++++-----+")), marks((1, "---+++++++"))
    row = compare(coop=one, cocoop=other).query("seed == 1").iloc[0]
    assert (row["first"], row["second"]) == ("coop", "cocoop")
    assert (row["only_first"], row["only_second"]) == (3, 5)
    exact = 2 * sum(math.comb(8, k) for k in range(4)) / 2**8
    assert row["mcnemar_p"] == pytest.approx(exact)
    assert row["difference"] == pytest.approx(0.2)
    assert row["images"] == 10


def test_the_row_over_all_seeds_has_the_mean_difference_and_an_interval():
    one, other = marks((1, "++--"), (2, "+---")), marks((1, "+++-"), (2, "++--"))
    row = compare(coop=one, cocoop=other).query("seed == 'all'").iloc[0]
    assert row["first_accuracy"] == pytest.approx(3 / 8)
    assert row["second_accuracy"] == pytest.approx(5 / 8)
    assert row["difference"] == pytest.approx(0.25)
    assert row["interval_low"] <= row["difference"] <= row["interval_high"]


def test_equal_predictions_differ_by_nothing():
    frame = compare(coop=marks((1, "+-+-")), cocoop=marks((1, "+-+-")))
    assert frame["difference"].eq(0).all()
    assert frame["mcnemar_p"].dropna().tolist() == [1.0]
    assert frame.loc[frame["seed"] == "all", ["interval_low", "interval_high", "p"]].isna().all().all()


def test_the_interval_is_near_the_normal_one_for_many_images():
    generator = np.random.default_rng(1)
    one, other = generator.random(4000) < 0.6, generator.random(4000) < 0.65
    index = np.arange(4000)
    row = compare(coop=Answers(index, {1: one}), cocoop=Answers(index, {1: other})).query("seed == 'all'").iloc[0]
    differences = other.astype(float) - one
    half = 1.96 * differences.std() / math.sqrt(4000)
    assert row["interval_low"] == pytest.approx(differences.mean() - half, abs=0.002)
    assert row["interval_high"] == pytest.approx(differences.mean() + half, abs=0.002)


def test_an_untrained_variant_is_compared_with_every_seed():
    frame = compare(clip=marks((0, "++--")), coop=marks((1, "+++-"), (2, "----")))
    assert frame["seed"].tolist() == ["all", 1, 2]
    assert frame["difference"].tolist() == pytest.approx([-0.125, 0.25, -0.5])


def test_only_common_seeds_are_compared():
    frame = compare(coop=marks((1, "++"), (2, "++")), cocoop=marks((2, "--"), (3, "--")))
    assert frame["seed"].tolist() == ["all", 2]
    assert compare(coop=marks((1, "++")), cocoop=marks((2, "--"))).empty


def test_other_test_images_are_an_error():
    one, other = marks((1, "++")), Answers(np.array([0, 2]), {1: np.array([True, True])})
    with pytest.raises(UserError, match="coop and cocoop were tested on other images of digits"):
        compare(coop=one, cocoop=other)


def test_seeds_are_put_together_before_the_test_over_images():
    """Of each image: in how many of two seeds the second is right and the first is not, minus the opposite: 2, 1, 1, 1, -1."""
    one, other = marks((1, "--+-+"), (2, "---++")), marks((1, "+-++-"), (2, "+++++"))
    row = compare(coop=one, cocoop=other).query("seed == 'all'").iloc[0]
    sums = [sum(signs) for signs in product((2, -2), *4 * [(1, -1)])]
    assert row["difference"] == pytest.approx(4 / 10)
    assert row["p"] == pytest.approx(sum(abs(total) >= 4 for total in sums) / len(sums))


def test_the_spread_over_seeds_tells_what_they_can_detect():
    one = marks((1, "+++++-----"), (2, "+++++-----"), (3, "+++++-----"))
    other = marks((1, "++++++----"), (2, "++++++++--"), (3, "+++++++---"))
    row = compare(coop=one, cocoop=other).query("seed == 'all'").iloc[0]
    assert (row["seeds"], row["std"]) == (3, pytest.approx(0.1))
    half = 4.302652729911275 * 0.1 / math.sqrt(3)
    assert (row["seeds_low"], row["seeds_high"]) == pytest.approx((0.2 - half, 0.2 + half))
    assert row["detectable"] == pytest.approx(0.326, abs=0.001)


def test_p_is_corrected_for_all_pairs_of_the_comparison():
    frame = compare(clip=marks((0, "+---------")), coop=marks((1, "++++++++--")), cocoop=marks((1, "+++++++++-")))
    rows = frame.query("seed == 'all'")
    assert rows["p"].tolist() == pytest.approx([2 / 2**7, 2 / 2**8, 1.0])
    assert rows["p_holm"].tolist() == pytest.approx([2 * 2 / 2**7, 3 * 2 / 2**8, 1.0])
    single = frame.query("seed != 'all'")
    assert single["mcnemar_p"].tolist() == pytest.approx(rows["p"].tolist()), "with one seed, both are the same test"
    assert single["mcnemar_p_holm"].tolist() == pytest.approx(rows["p_holm"].tolist())


def test_files_to_tables(tmp_path):
    content = made.experiment()
    metrics = made.results_folder(tmp_path, content)
    path = tmp_path / "results/experiments/base_to_new/experiment.json"
    results.collect(metrics, tmp_path / "records.csv")
    frame = comparison.build(path, metrics, tmp_path / "records.csv", tmp_path / "a")[0].tidy
    assert len(frame) == 2 * 2 * 3 * 4  # datasets, subsets, pairs, three seeds and their sum
    for entry, file in [(e, f) for f in metrics for e in io.read_json(f, "metrics")["records"]]:
        places = frame["target"].eq(entry["target"]) & frame["target_subset"].eq(entry["target_subset"])
        seeds = frame["seed"].eq(entry["seed"]) if entry["shots"] else frame["seed"].ne("all")
        rows = frame[places & seeds & frame["first"].eq(entry["variant"])]
        assert rows["first_accuracy"].tolist() == pytest.approx([entry["accuracy"]] * len(rows)), file
    comparison.build(path, metrics[::-1], tmp_path / "records.csv", tmp_path / "b")
    for name in ("paired.csv", "paired.md", "over_datasets.csv", "ranks.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert "| Digits      | base      | CLIP    | CoOp " in (tmp_path / "a/paired.md").read_text()


def test_predictions_without_a_seed_of_the_metrics_are_named(tmp_path):
    content = made.experiment()
    metrics = made.results_folder(tmp_path, content)
    trained = next(path for path in metrics if "/coop/" in str(path))
    untrained = next(path for path in metrics if "/clip/" in str(path))
    trained.with_name("predictions.safetensors").write_bytes(
        untrained.with_name("predictions.safetensors").read_bytes()
    )
    with pytest.raises(UserError, match=r"predictions\.safetensors: key 'seed1.base.predicted' is missing"):
        paired.read(content, metrics)


def test_with_a_reference_each_other_variant_is_compared_with_it():
    parts = {"clip": marks((0, "++--")), "coop": marks((1, "+++-")), "cocoop": marks((1, "+---"))}
    every, found = compare(**parts), compare(reference="coop", **parts)
    assert len(every.query("seed == 'all'")) == 3
    rows = found.query("seed == 'all'")[["first", "second", "difference"]].to_numpy().tolist()
    assert rows == [["coop", "clip", -0.25], ["coop", "cocoop", -0.5]]
    assert compare(reference="kgcoop", **parts).equals(every), "a reference that the experiment does not contain"
