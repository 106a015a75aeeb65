"""Reliability diagrams and risk-coverage curves: what they draw is in the metrics files, and gaps are said."""

import re

import numpy as np
import pytest

from cocoop import io
from cocoop.cli import main
from cocoop.reporting import figures
from cocoop.reporting.figures import confidence, style
from cocoop.reporting.figures.data import gather
from cocoop.reporting.records import records as results
from tests.reporting.records import made

MEASURES = ["ece", "aurc"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An experiment of two methods on two datasets; its metrics files."""
    root = tmp_path_factory.mktemp("confidence")
    content = made.experiment(variants=[made.CLIP, made.COOP], measures=MEASURES)
    metrics = made.results_folder(root, content)
    results.collect(metrics, root / "records.csv")
    return root, content, metrics


def drawn(folder, draw, metrics=None):
    root, content, all_metrics = folder
    rows = results.load(root / "records.csv")
    kept = confidence.read(content, rows, all_metrics if metrics is None else metrics)
    with style.theme():
        return draw(gather(content, rows), kept)


def test_bars_are_the_accuracy_of_each_bin_of_all_runs(folder):
    figure = drawn(folder, confidence.reliability)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["CLIP: base", "CLIP: new", "CoOp: base", "CoOp: new"]
    records = [record for path in folder[2] for record in io.read_json(path, "metrics")["records"]]
    own = [r["reliability"] for r in records if r["variant"] == "coop" and r["target_subset"] == "new"]
    images, right = (np.sum([one[name] for one in own], 0) for name in ("images", "right"))
    bars = [patch for patch in figure.axes[3].containers[0].patches]
    assert [bar.get_height() for bar in bars] == pytest.approx((100 * right / np.maximum(images, 1))[images > 0])
    errors = [np.abs(np.subtract(one["right"], one["confidence"])).sum() / sum(one["images"]) for one in own]
    assert f"ECE {100 * np.mean(errors):.2f}" in {text.get_text() for text in figure.axes[3].texts}


def test_curves_end_at_the_mean_error_of_all_images(folder):
    figure = drawn(folder, confidence.risk_coverage)
    records = [record for path in folder[2] for record in io.read_json(path, "metrics")["records"]]
    own = [100 * (1 - r["accuracy"]) for r in records if r["variant"] == "coop" and r["target_subset"] == "base"]
    coverage, error = figure.axes[0].lines[1].get_data()
    assert (coverage[0], coverage[-1]) == (5, 100)
    assert error[-1] == pytest.approx(np.mean(own))


def test_missing_numbers_are_said_not_drawn(folder):
    """One file of CoOp on one dataset is not there."""
    less = [path for path in folder[2] if "shapes/base/coop" not in str(path)]
    assert len(less) == len(folder[2]) - 1
    bars = drawn(folder, confidence.reliability, less)
    assert [[text.get_text() for text in axes.texts] == ["missing"] for axes in bars.axes] == [False, False, True, True]
    curves = drawn(folder, confidence.risk_coverage, less)
    assert [len(axes.lines) for axes in curves.axes] == [1, 1]
    assert curves.axes[0].texts[0].get_text() == "missing: CoOp"


def test_figures_of_measures_come_from_the_command_line_and_only_if_asked(folder, tmp_path):
    root, content, metrics = folder
    lists = {name: tmp_path / f"{name}.txt" for name in ("metrics", "costs", "histories")}
    lists["metrics"].write_text("".join(f"{path}\n" for path in metrics))
    lists["costs"].write_text("".join(f"{path.with_name('cost.json')}\n" for path in metrics))
    lists["histories"].write_text("")
    experiment = root / "results/experiments" / content["name"] / "experiment.json"
    words = ["figures", "--experiment", experiment, "--records", root / "records.csv", "--out", tmp_path / "out"]
    words += [word for name, path in lists.items() for word in (f"--{name}", path)]
    assert main([*map(str, words)]) == 0
    drawn = set(figures.names(content)) - {"training_curves"}  # there are no histories
    assert {path.stem for path in (tmp_path / "out").glob("*.svg")} == drawn
    words = io.read_json(tmp_path / "out" / figures.WORDS, "figures")["figures"]
    assert set(words) == drawn
    for name, said in (
        ("reliability", "Calibration error (ECE)"),
        ("risk_coverage", "Error of the half of the images"),
    ):
        told = words[name]["alternative"]
        assert said in told and re.search(r"New classes: CLIP \d+\.\d\d, CoOp \d+\.\d\d\.", told)
    assert {"reliability", "risk_coverage"} == set(figures.names(content)) - set(
        figures.names(content | {"measures": []})
    )
    assert figures.names(content | {"measures": ["nll"]}) == figures.NAMES["base_to_new"]


def test_the_datasets_are_those_of_the_average_in_tables(tmp_path):
    """Not the one trained on; and not one with a group of a single class, which is in no average of base and new."""
    datasets = {"digits": "Digits", "shapes": "Shapes", "letters": "Letters"}
    transfer = made.transfer(datasets, variants=[made.CLIP, made.COOP], measures=MEASURES)
    metrics = made.results_folder(tmp_path / "transfer", transfer)
    results.collect(metrics, tmp_path / "records.csv")
    kept = confidence.read(transfer, results.load(tmp_path / "records.csv"), metrics)
    assert {series: set(rows["target"]) for series, rows in kept.groupby("series", observed=True)} == {
        "clip": {"shapes", "letters"}, "coop": {"shapes", "letters"},
    }  # fmt: skip
    both = made.experiment(variants=[made.CLIP, made.COOP], measures=MEASURES)
    metrics = made.results_folder(tmp_path / "single", both, one_class=("shapes",))
    results.collect(metrics, tmp_path / "single.csv")
    kept = confidence.read(both, results.load(tmp_path / "single.csv"), metrics)
    assert set(kept["target"]) == {"digits"}
    assert confidence.reliability(gather(both, results.load(tmp_path / "single.csv")), kept.iloc[:0]) is None
