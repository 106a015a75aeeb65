"""Tables of measures beside accuracy, against hand-written ones."""

import pandas as pd
import pytest

from cocoop.config.draw import ALL_SHOTS
from cocoop.reporting import tables
from cocoop.reporting.tables import paper
from tests.reporting.records import made

ASKED = ["ece", "nll", "joint_accuracy", "auroc"]
STEP = {0: 0.0, 1: -0.01, 2: 0.0, 3: 0.01}
ECE = {("clip", "digits"): 0.10, ("coop", "digits"): 0.20, ("clip", "shapes"): 0.14, ("coop", "shapes"): 0.30}
DIGITS = {"train_datasets": [{"name": "digits", "title": "Digits"}]}


def records(content) -> pd.DataFrame:
    """ECE as above, twice as high on new classes, and other numbers that follow from it."""
    frame = made.records(content, lambda key: 0.5)
    pairs = list(zip(frame["variant"], frame["target"], strict=True))
    ece = pd.Series([ECE.get(pair, 0.05) for pair in pairs]) + frame["seed"].map(STEP)
    frame["ece"] = ece * frame["target_subset"].map({"base": 1, "new": 2, "all": 1})
    frame["nll"], frame["joint_accuracy"] = 3 * frame["ece"], 1 - frame["ece"]
    frame["auroc"], frame["overall_accuracy"] = 1 - ece, 1 - 1.5 * ece
    return frame


def build(content, frame=None, papers=None):
    frame = records(content) if frame is None else frame
    return {table.name: table for table in tables.build(content, frame, papers)}


def rows(table):
    return [tuple(cell.text for cell in row) for row in table.rows]


def experiment(**changes):
    return made.experiment(**{"variants": [made.CLIP, made.COOP], "measures": ASKED} | changes)


def test_measures_have_tables_of_averages_with_the_spread_over_seeds():
    found = build(experiment())
    assert found["calibration"].header == ("Dataset", "Method", "ECE, base", "ECE, new", "NLL, base", "NLL, new")
    assert rows(found["calibration"]) == [
        ("Average over 2 datasets", "CLIP", "12.00", "24.00", "0.360", "0.720"),
        ("Average over 2 datasets", "CoOp", "25.00 ± 1.00", "50.00 ± 2.00", "0.750 ± 0.030", "1.500 ± 0.060"),
    ]
    joint = "Joint accuracy"
    assert found["open_world"].header[2:] == (f"{joint}, base", f"{joint}, new", f"{joint}, both", "AUROC")
    assert rows(found["open_world"])[1][2:] == ("75.00 ± 1.00", "50.00 ± 2.00", "62.50 ± 1.50", "75.00 ± 1.00")
    assert any(note.startswith("In per cent, but NLL. The lower, the better.") for note in found["calibration"].notes)
    assert any("The higher, the better." in note for note in found["open_world"].notes)


def test_each_dataset_is_in_the_csv():
    tidy = build(experiment())["calibration"].tidy.set_index(["target", "variant", "measure", "metric"])
    assert tidy.loc[("digits", "coop", "ece", "new"), "mean"] == pytest.approx(0.4)
    assert tidy.loc[("shapes", "clip", "nll", "base"), "mean"] == pytest.approx(0.42)


def test_the_main_tables_are_the_same_with_and_without_measures():
    with_them, without = build(experiment()), build(experiment(measures=[]))
    assert set(with_them) - set(without) == {"calibration", "open_world"}
    assert all(with_them[name].rows == table.rows for name, table in without.items())


def test_a_missing_number_leaves_a_gap_in_every_mean_over_it():
    frame = records(experiment())
    gone = (frame["variant"] == "coop") & (frame["target"] == "shapes") & (frame["seed"] == 2)
    table = build(experiment(), frame.assign(ece=frame["ece"].mask(gone)))["calibration"]
    assert rows(table)[1][2:] == ("—", "—", "0.750 ± 0.030", "1.500 ± 0.060")
    alone = build(experiment(**DIGITS), frame[~gone].assign(auroc=float("nan")))["open_world"]
    assert rows(alone)[0] == ("Digits", "CLIP", "90.00", "80.00", "85.00", "—")


def test_a_dataset_with_a_single_class_has_no_number_and_is_in_no_average():
    frame = records(experiment())
    one = (frame["target"] == "shapes") & (frame["target_subset"] == "new")
    found = build(experiment(), frame.assign(classes=frame["classes"].mask(one, 1)))
    assert rows(found["calibration"])[0][:4] == ("Digits", "CLIP", "10.00", "20.00")
    assert rows(found["calibration"])[2] == ("Shapes", "CLIP", "14.00", "—‡", "0.420", "—‡")
    assert rows(found["open_world"])[2][-2:] == ("—‡", "—‡")


def test_other_kinds_of_tables_have_their_sources_and_shots():
    targets = made.transfer({"digits": "Digits", "shapes": "Shapes"}, variants=[made.CLIP, made.COOP], measures=["ece"])
    assert rows(build(targets)["calibration"]) == [
        ("Digits (source)", "CLIP", "10.00"), ("Digits (source)", "CoOp", "20.00 ± 1.00"),
        ("Shapes", "CLIP", "14.00"), ("Shapes", "CoOp", "30.00 ± 1.00"),
    ]  # fmt: skip
    shots = {"shots": [1, ALL_SHOTS], "target_subsets": ["all"], "train_subset": "all"}
    curves = made.experiment("curves", variants=[made.CLIP, made.COOP], measures=["ece"], **shots, **DIGITS)
    assert rows(build(curves)["calibration"]) == [
        ("Digits", "CLIP", "0", "10.00"), ("Digits", "CoOp", "1", "20.00 ± 1.00"), ("Digits", "CoOp", "all", "20.00 ± 1.00"),
    ]  # fmt: skip


def test_published_numbers_stand_beside_ours():
    content = experiment(
        paper_measures={"calibration_base_to_new": ""}, backbone={"name": "vit_b16", "label": "ViT-B/16"},
        train_datasets=[{"name": "dtd", "title": "DTD"}],
    )  # fmt: skip
    frame = made.records(content, lambda key: 0.5).assign(backbone="vit_b16", ece_10=0.1)
    found = build(content, frame, paper.load())["ece_10_against_paper"]
    assert found.title == "A title & more: ECE, 10 bins next to published numbers"
    assert [row[:6] for row in rows(found)] == [
        ("DTD", "CLIP", "others [1]", "10.00", "4.53†", "+5.47"), ("DTD", "CoOp", "others [2]", "10.00", "12.17†", "−2.17"),
    ]  # fmt: skip
    assert any("TCPT" in note for note in found.notes)


def test_published_averages_are_the_printed_ones():
    table = paper.load()["calibration_base_to_new"]
    assert table.measure == "ece_10"
    printed = {
        (row, metric): table.find("average", row, 16, metric).value
        for row in ("clip", "coop")
        for metric in ("base", "new")
    }
    assert printed == pytest.approx(
        {("clip", "base"): 0.0358, ("clip", "new"): 0.0443, ("coop", "base"): 0.0635, ("coop", "new"): 0.1245}
    )
    for (row, metric), value in printed.items():
        cells = [table.find(dataset, row, 16, metric).value for dataset in table.average_over]
        assert sum(cells) / 11 == pytest.approx(value, abs=1e-4)
