"""Several published rows of a method next to ours: who ran them, on which backbone, and what was selected on the test set."""

import pytest
import yaml

from cocoop.reporting import tables
from cocoop.reporting.tables import paper, rendering
from tests.reporting.records import made

STEP = {0: 0.0, 1: -0.01, 2: 0.0, 3: 0.01}
OURS = {"clip": 0.5, "coop": 0.7, "cocoop": 0.6}
ROWS = {
    "clip": {"variant": "clip", "run_by": "others", "source": "A table"},
    "coop": {"variant": "coop", "run_by": "authors", "source": "Their README"},
    "coop_again": {
        "variant": "coop", "run_by": "others", "source": "Another README", "verified": False,
        "selected_on_test": {"what": "the epoch", "datasets": ["shapes"]},
    },
    "coop_small": {"variant": "coop", "run_by": "unknown", "source": "A note", "backbone": "rn50"},
}  # fmt: skip


def table_of(tmp_path, shots, values, rows=ROWS):
    content = {
        "title": "Published", "setting": "as it was", "shots": shots, "verified": True, "rows": rows,
        "average_over": ["digits", "shapes"], "values": values,
    }  # fmt: skip
    (tmp_path / "published.yaml").write_text(yaml.safe_dump(content))
    return paper.load(tmp_path)


def build(content, papers, value=lambda key: OURS[key["variant"]] + STEP[key["seed"]]):
    return tables.build(content | {"paper": "published"}, made.records(content, value), papers)


def texts(table):
    return [tuple(cell.text for cell in row) for row in table.rows]


def base_to_new(tmp_path):
    one = {"base": 69.0, "new": 71.5, "h": 70.23}
    values = {
        "digits": {
            "clip": {"base": 40.0, "new": 50.0, "h": 44.44},
            "coop": one,
            "coop_again": {"base": 71.5, "new": 70.0},
        },
        "shapes": {"coop_again": {"base": 70.0}, "coop_small": {"base": 10.0}},
        "average": {"coop": {"base": 60.0, "new": 50.0, "h": 54.55}},
    }
    return table_of(tmp_path, 16, values)


def test_each_published_row_has_a_line_and_its_source(tmp_path):
    against = build(made.experiment(), base_to_new(tmp_path))[1]
    assert against.title == "A title & more: next to published numbers"
    assert against.header[:6] == ("Dataset", "Method", "Published", "Base", "published", "difference")
    assert [row[:6] for row in texts(against)] == [
        ("Average over 2 datasets", "CoOp", "authors [2]", "70.00", "60.00", "+10.00 ✗"),
        ("Average over 2 datasets", "CoOp", "others [3]", "70.00", "70.75†§¶", "−0.75 ✓"),
        ("Digits", "CLIP", "others [1]", "50.00", "40.00", "+10.00"),
        ("Digits", "CoOp", "authors [2]", "70.00", "69.00", "+1.00 ✓"),
        ("Digits", "CoOp", "others [3]", "70.00", "71.50†", "−1.50 ✗"),
        ("Shapes", "CoOp", "others [3]", "70.00", "70.00†§", "+0.00 ✓"),
    ]
    assert texts(against)[4][6:] == ("70.00", "70.00†", "+0.00 ✓", "70.00", "", ""), "H is not published"
    assert against.notes[1:] == (
        "[1] CLIP, run by others: A table.",
        "[2] CoOp, run by its authors: Their README.",
        "[3] CoOp, run by others: Another README.",
        "† neither printed by two independent sources nor read from the paper, code or log of those who ran it.",
        "§ selected by accuracy on the test set, which our runs never do: [3] the epoch.",
        "¶ not printed: computed here from the printed numbers of its datasets.",
        "Not shown: 1 published rows of other backbones (rn50).",
    )


def test_the_tidy_form_tells_where_a_number_comes_from(tmp_path):
    against = build(made.experiment(), base_to_new(tmp_path))[1]
    row = against.tidy.query("target == 'shapes' and metric == 'base'").iloc[0]
    assert (row["published"], row["run_by"], row["published_in"]) == ("coop_again", "others", "Another README")
    assert row["selected_on_test"] == "the epoch" and row["paper_selected"] and not row["paper_verified"]
    assert row["difference"] == pytest.approx(0)


def test_the_main_table_has_each_number_once(tmp_path):
    main = build(made.experiment(), base_to_new(tmp_path))[0]
    plain = tables.build(made.experiment(), made.records(made.experiment(), lambda key: 0.5), None)[0]
    assert len(main.tidy) == len(plain.tidy) and list(main.tidy.columns) == list(plain.tidy.columns)
    digits = main.tidy.query("target == 'digits' and variant == 'coop' and metric == 'base'")["paper"]
    assert digits.item() == pytest.approx(0.69), "the first published row"


def test_rows_of_the_backbone_are_the_ones_compared(tmp_path):
    content = made.experiment(backbone={"name": "rn50", "label": "RN50"})
    frame = made.records(content, lambda key: 0.5).assign(backbone="rn50")
    against = tables.build(content | {"paper": "published"}, frame, base_to_new(tmp_path))[1]
    assert texts(against)[-1][:6] == ("Shapes", "CoOp", "not stated [4]", "50.00", "10.00", "+40.00")
    assert not any(note.startswith("Not shown") for note in against.notes)


def few_shot(**changes):
    return made.experiment("curves", shots=[1, 4], target_subsets=["all"], train_subset="all", **changes)


def test_few_shot_numbers_stand_next_to_those_of_the_same_shots(tmp_path):
    rows = {"clip": {**ROWS["clip"], "shots": 0}, "coop": ROWS["coop"]}
    values = {
        "digits": {"clip": {"all": 45.0}, "coop": {"all": [60.0, 80.0]}},
        "shapes": {"coop": {"all": [62.0, None]}},
    }
    against = build(few_shot(), table_of(tmp_path, [1, 4], values, rows))[1]
    assert against.header == (
        "Dataset", "Method", "Published", "0 shots", "published", "difference", "1 shot", "published", "difference",
        "4 shots", "published", "difference",
    )  # fmt: skip
    assert texts(against) == [
        ("Average over 2 datasets", "CoOp", "authors [2]", *("",) * 3, "70.00", "61.00¶", "+9.00 ✗", "70.00", "", ""),
        ("Digits", "CLIP", "others [1]", "50.00", "45.00", "+5.00", *("",) * 6),
        ("Digits", "CoOp", "authors [2]", *("",) * 3, "70.00", "60.00", "+10.00 ✗", "70.00", "80.00", "−10.00 ✗"),
        ("Shapes", "CoOp", "authors [2]", *("",) * 3, "70.00", "62.00", "+8.00 ✗", "70.00", "", ""),
    ]


def test_methods_in_columns_get_a_group_of_columns_for_each_row(tmp_path):
    content = made.transfer({"digits": "Digits", "shapes": "Shapes"})
    values = {"shapes": {"coop": {"all": 69.0}, "coop_again": {"all": 72.0}}}
    against = build(content, table_of(tmp_path, 16, values))[1]
    assert against.header == (
        "Target", "CoOp", "authors [1]", "difference", "CoOp", "others [2]", "difference",
    )  # fmt: skip
    assert texts(against) == [("Shapes", "70.00", "69.00", "+1.00 ✓", "70.00", "72.00†§", "−2.00 ✗")]


def test_nothing_published_is_stated(tmp_path):
    papers = table_of(tmp_path, 16, {"eurosat": {"coop": {"base": 60.0}}})
    against = build(made.experiment(), papers)[1]
    assert not against.rows and against.notes[0] == (
        "There is no published number for these datasets, methods and this backbone."
    )


def test_marks_survive_latex(tmp_path):
    text = rendering.to_latex(build(made.experiment(), base_to_new(tmp_path))[1])
    assert r"70.75$^\dagger$\S{}\P{}" in text and "§" not in text and "¶" not in text
