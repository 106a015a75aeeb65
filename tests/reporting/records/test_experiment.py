"""An experiment's share of the records."""

import pandas as pd
import pytest

from cocoop import io
from cocoop.errors import UserError
from cocoop.reporting.records import experiment as experiments
from tests.reporting.records import made


def test_what_is_missing_is_named():
    content = made.experiment()
    gone = [
        {"variant": "coop", "seed": 2, "target": "digits"},
        {"variant": "cocoop", "target": "shapes", "target_subset": "new"},
    ]
    there = made.records(content, lambda key: None if any(part.items() <= key.items() for part in gone) else 0.5)
    selected = experiments.select(content, there)
    assert len(selected) == len(content["expected"])
    assert experiments.missing(selected) == [
        "CoOp trained on digits (base), 16 shots, seed 2, tested on digits (base, new)",
        "CoCoOp trained on shapes (base), 16 shots, seeds 1, 2, 3, tested on shapes (new)",
    ]
    nothing = experiments.select(content, there.iloc[:0])
    assert experiments.missing(nothing)[0] == "CLIP tested on digits (base, new)"


def test_records_of_other_experiments_and_backbones_are_left_out():
    content = made.experiment()
    there = made.records(content, lambda key: 0.5)
    foreign = there.assign(backbone="other", accuracy=0.9)
    selected = experiments.select(content, pd.concat([foreign, there]))
    assert selected["accuracy"].eq(0.5).all()


def test_series_stand_in_the_order_of_the_variants():
    content = made.experiment(variants=[made.COCOOP, made.CLIP, made.COOP])
    selected = experiments.select(content, made.records(content, lambda key: 0.5))
    assert list(dict.fromkeys(selected["label"])) == ["CoCoOp", "CLIP", "CoOp"]


def test_several_shots_outside_curves_are_told_apart():
    content = made.experiment(shots=[4, 16])
    selected = experiments.select(content, made.records(content, lambda key: 0.5))
    labels = ["CLIP", "CoOp, 4 shots", "CoOp, 16 shots", "CoCoOp, 4 shots", "CoCoOp, 16 shots"]
    assert list(dict.fromkeys(selected["label"])) == labels


def test_errors_name_the_place(tmp_path):
    content = made.experiment()
    io.write_json(tmp_path / "experiment.json", {key: value for key, value in content.items() if key != "seeds"})
    with pytest.raises(UserError, match=r"experiment\.json: missing keys: seeds"):
        experiments.load(tmp_path / "experiment.json")
    with pytest.raises(UserError, match="'base_to_new' has no records"):
        experiments.select(content | {"expected": []}, made.records(content, lambda key: 0.5))
