"""The distance of each method to the experiment's reference, and nothing without one."""

import pytest

from cocoop.reporting import tables
from cocoop.reporting.tables import rendering
from tests.reporting.records import made

VALUES = {("clip", "base"): 0.70, ("clip", "new"): 0.65, ("coop", "base"): 0.82, ("coop", "new"): 0.50}
STEP = {0: 0.0, 1: -0.01, 2: 0.0, 3: 0.01}
H_CLIP, H_COOP = 2 * 0.7 * 0.65 / 1.35, 2 * 0.82 * 0.5 / 1.32


def accuracy(key):
    half = {"all": "base"}.get(key["target_subset"], key["target_subset"])
    return VALUES.get((key["variant"], half), 0.6) + STEP[key["seed"]] + key["shots"] / 1000


def build(content):
    return tables.build(content, made.records(content, accuracy), None)


def texts(table):
    return [tuple(cell.text for cell in row) for row in table.rows]


def one(kind="base_to_new", **changes):
    digits = [{"name": "digits", "title": "Digits"}]
    return made.experiment(kind, train_datasets=digits, variants=[made.CLIP, made.COOP], reference="clip", **changes)


def test_the_distance_follows_the_number():
    table, _, spread = build(one())
    shown = {row[1]: row[2:] for row in texts(table)}
    h = 2 * 0.836 * 0.516 / 1.352
    assert shown["CLIP"] == ("70.00", "65.00", f"{100 * H_CLIP:.2f}")
    assert shown["CoOp"][:2] == ("83.60 ± 1.00 (+13.60)", "51.60 ± 1.00 (−13.40)")
    assert shown["CoOp"][2].endswith(f"(\N{MINUS SIGN}{100 * (H_CLIP - h):.2f})")
    assert "In parentheses: difference to CLIP in percentage points." in table.notes
    assert texts(spread)[3][3] == "83.60 (+13.60)"
    assert table.wide["Base distance"].tolist() == [pytest.approx(float("nan"), nan_ok=True), pytest.approx(0.136)]
    found = table.tidy.query("variant == 'coop' and metric == 'new'")
    assert found["reference"].item() == "clip" and found["distance"].item() == pytest.approx(-0.134)
    assert r"(+13.60)" in rendering.to_latex(table)


def test_an_untrained_reference_is_compared_with_every_number_of_shots():
    rows = texts(build(one("curves", shots=[1, 4], target_subsets=["all"], train_subset="all"))[0])
    assert rows[1] == ("Digits", "CoOp", "", "82.10 ± 1.00 (+12.10)", "82.40 ± 1.00 (+12.40)")


def test_a_trained_reference_is_compared_at_the_same_number_of_shots():
    content = made.experiment(
        "curves", shots=[1, 4], target_subsets=["all"], train_subset="all", reference="coop",
        train_datasets=[{"name": "digits", "title": "Digits"}],
    )  # fmt: skip
    rows = {row[1]: row[2:] for row in texts(build(content)[0])}
    assert rows["CoCoOp"] == ("", "60.10 ± 1.00 (−22.00)", "60.40 ± 1.00 (−22.00)")
    assert rows["CLIP"][0] == "70.00", "no number of CoOp with 0 shots"


def test_transfer_shows_the_distance_too():
    content = made.transfer({"digits": "Digits", "shapes": "Shapes"}, reference="clip")
    assert texts(build(content)[0])[0][1:3] == ("70.00", "83.60 ± 1.00 (+13.60)")


def test_a_missing_reference_leaves_no_distance():
    content = one()
    frame = made.records(content, lambda key: None if key["variant"] == "clip" else accuracy(key))
    assert "(" not in " ".join(texts(tables.build(content, frame, None)[0])[1])


@pytest.mark.parametrize("reference", [None, "cocoop"])
def test_without_the_reference_among_the_variants_nothing_changes(reference):
    with_it, without = build(one() | {"reference": reference}), build(one() | {"reference": None})
    for one_table, other in zip(with_it, without, strict=True):
        assert rendering.to_markdown(one_table) == rendering.to_markdown(other)
        assert one_table.tidy.equals(other.tidy)
