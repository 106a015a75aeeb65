"""Tables against hand-written ones: numbers, arrangement, bold, gaps, and the paper's numbers beside ours."""

import pytest

from cocoop.errors import UserError
from cocoop.reporting import tables
from cocoop.reporting.tables import paper, rendering
from tests.reporting.records import made

PAPERS = paper.load()
VALUES = {
    ("clip", "digits"): (0.70, 0.65),
    ("coop", "digits"): (0.82, 0.50),
    ("cocoop", "digits"): (0.81, 0.64),
    ("clip", "shapes"): (0.80, 0.75),
    ("coop", "shapes"): (0.90, 0.71),
    ("cocoop", "shapes"): (0.90, 0.76),
}
STEP = {0: 0.0, 1: -0.01, 2: 0.0, 3: 0.01}


def accuracy(key):
    half = {"base": 0, "new": 1, "all": 0}[key["target_subset"]]
    return VALUES.get((key["variant"], key["target"]), (0.6, 0.6))[half] + STEP[key["seed"]]


def build(content, value=accuracy, papers=PAPERS):
    return {table.name: table for table in tables.build(content, made.records(content, value), papers)}


def texts(table):
    return [tuple(cell.text for cell in row) for row in table.rows]


def test_base_to_new_as_the_paper_arranges_it():
    table = build(made.experiment())["table"]
    assert table.header == ("Dataset", "Method", "Base", "New", "H")
    assert texts(table) == [
        ("Average over 2 datasets", "CLIP", "75.00", "70.00", "72.41"),
        ("Average over 2 datasets", "CoOp", "86.00 ± 1.00", "60.50 ± 1.00", "71.03 ± 1.03"),
        ("Average over 2 datasets", "CoCoOp", "85.50 ± 1.00", "70.00 ± 1.00", "76.98 ± 1.01"),
        ("Digits", "CLIP", "70.00", "65.00", "67.41"),
        ("Digits", "CoOp", "82.00 ± 1.00", "50.00 ± 1.00", "62.12 ± 1.06"),
        ("Digits", "CoCoOp", "81.00 ± 1.00", "64.00 ± 1.00", "71.50 ± 1.01"),
        ("Shapes", "CLIP", "80.00", "75.00", "77.42"),
        ("Shapes", "CoOp", "90.00 ± 1.00", "71.00 ± 1.00", "79.38 ± 1.01"),
        ("Shapes", "CoCoOp", "90.00 ± 1.00", "76.00 ± 1.00", "82.41 ± 1.01"),
    ]


def bold(table):
    return [tuple(cell.best for cell in row[table.labels :]) for row in table.rows]


def test_a_number_is_bold_only_if_it_leads_by_more_than_the_spread():
    """On the new digits CLIP leads by one point, CoCoOp's standard deviation; trained methods here rise and fall together."""
    table = build(made.experiment())["table"]
    assert bold(table) == [
        (False, False, False), (True, False, False), (False, False, True),
        (False, False, False), (True, False, False), (False, False, True),
        (False, False, False), (False, False, False), (False, False, True),
    ]  # fmt: skip
    assert any(note.startswith("Bold, or starred in plain text: higher than every number") for note in table.notes)


def test_a_lead_far_below_the_spread_is_not_bold():
    digits = {"train_datasets": [{"name": "digits", "title": "Digits"}], "variants": [made.COOP, made.COCOOP]}
    apart = {
        ("coop", 1): 0.5,
        ("coop", 2): 0.7,
        ("coop", 3): 0.6,
        ("cocoop", 1): 0.7,
        ("cocoop", 2): 0.5,
        ("cocoop", 3): 0.63,
    }
    table = build(made.experiment(**digits), lambda key: apart[key["variant"], key["seed"]])["table"]
    assert not any(any(cells) for cells in bold(table))


def test_one_seed_has_no_known_spread_and_nothing_is_bold():
    table = build(made.experiment(seeds=[1]), lambda key: 0.9 if key["variant"] == "coop" else 0.2)["table"]
    assert not any(any(cells) for cells in bold(table))
    assert any(note.startswith("The spread of a method trained with one seed is unknown") for note in table.notes)


def test_methods_without_training_differ_by_any_difference():
    other = {**made.CLIP, "name": "other", "label": "Other"}
    table = build(
        made.experiment(variants=[made.CLIP, other]), lambda key: 0.5 if key["variant"] == "clip" else 0.5002
    )["table"]
    assert bold(table) == 3 * [(False, False, False), (True, True, True)]


def test_a_missing_run_is_a_dash_a_blank_average_and_a_footnote():
    gone = {"variant": "coop", "target": "shapes", "seed": 2, "target_subset": "new"}
    found = build(made.experiment(), lambda key: None if gone.items() <= key.items() else accuracy(key))
    rows = texts(found["table"])
    assert rows[1] == ("Average over 2 datasets", "CoOp", "86.00 ± 1.00", "—", "—")
    assert rows[7] == ("Shapes", "CoOp", "90.00 ± 1.00", "—", "—")
    assert rows[4] == ("Digits", "CoOp", "82.00 ± 1.00", "50.00 ± 1.00", "62.12 ± 1.06")
    gap = "CoOp trained on shapes (base), 16 shots, seed 2, tested on shapes (new)"
    message = f"— Missing, so every mean over it is blank: {gap}."
    assert found["table"].notes[-1] == message
    assert [row[-1] for row in texts(found["spread"]) if row[:3] == ("Shapes", "CoOp", "New")] == ["2 of 3"]
    shown = [row[3].best for row in found["table"].rows if row[0].text == "Shapes"]
    assert shown == [False, False, False], "no best where a competitor is missing"


def test_nothing_there_at_all():
    content = made.experiment()
    found = build(content, lambda key: None if key["variant"] != "clip" else 0.5)
    assert {cell for row in texts(found["table"]) if row[1] != "CLIP" for cell in row[2:]} == {"—"}
    note = found["table"].notes[-1]
    assert note.startswith(
        "— Missing, so every mean over it is blank: CoOp trained on digits (base), 16 shots, seeds 1, 2, 3,"
    )
    assert note.count("trained on") == 4


def test_a_long_list_of_gaps_is_cut():
    content = made.experiment(train_datasets=[{"name": f"d{number}", "title": "D"} for number in range(9)])
    note = build(content, lambda key: None if key["variant"] != "clip" else 0.5)["table"].notes[-1]
    assert note.count("trained on") == 12 and note.endswith("; and 6 more.")


def test_parameters_are_shown_both_ways_and_beside_the_papers():
    coop60 = {"name": "coop_ctx60", "label": "CoOp (M=60)", "method": "coop", "trainable": True}
    content = made.experiment(
        "parameter_matched",
        variants=[made.COOP, coop60, made.COCOOP],
        train_datasets=[{"name": "imagenet", "title": "ImageNet"}],
        paper="parameter_matched_comparison_imagenet",
    )
    found = build(content)
    assert found["table"].header == ("Dataset", "Method", "Parameters", "Without biases", "Base", "New", "H")
    assert [row[:4] for row in texts(found["table"])] == [
        ("ImageNet", "CoOp", "512", "512"),
        ("ImageNet", "CoOp (M=60)", "100", "90"),
        ("ImageNet", "CoCoOp", "2,696", "2,560"),
    ]
    rows = texts(found["against_paper"])
    assert [row[4] for row in rows] == ["2,048", "30,720†", "34,816"]
    assert rows[1][5:8] == ("60.00", "76.16†", "−16.16 ✗")
    assert any(note.startswith("† not confirmed") for note in found["against_paper"].notes)
    assert "paper counts" in found["table"].notes[-1]


def transfer():
    titles = {"imagenet": "ImageNet", "dtd": "DTD", "eurosat": "EuroSAT"}
    return made.transfer(titles, paper="table2_cross_dataset_transfer")


def test_transfer_has_source_targets_and_their_average():
    values = {"imagenet": 0.7, "dtd": 0.4, "eurosat": 0.5}
    step = {"clip": 0.0, "coop": 0.01, "cocoop": 0.02}
    found = build(transfer(), lambda key: values[key["target"]] + step[key["variant"]] + STEP[key["seed"]])
    assert found["table"].header == ("Target", "CLIP", "CoOp", "CoCoOp")
    assert texts(found["table"]) == [
        ("ImageNet (source)", "70.00", "71.00 ± 1.00", "72.00 ± 1.00"),
        ("DTD", "40.00", "41.00 ± 1.00", "42.00 ± 1.00"),
        ("EuroSAT", "50.00", "51.00 ± 1.00", "52.00 ± 1.00"),
        ("Average over 2 targets", "45.00", "46.00 ± 1.00", "47.00 ± 1.00"),
    ]
    assert all(row[3].best and not row[2].best for row in found["table"].rows)
    rows = texts(found["against_paper"])
    assert found["against_paper"].header == ("Target", "CoOp", "paper", "difference", "CoCoOp", "paper", "difference")
    assert rows[1] == ("DTD", "41.00", "41.92", "−0.92 ✓", "42.00", "45.73", "−3.73 ✗")
    assert [row[0] for row in rows] == ["ImageNet (source)", "DTD", "EuroSAT"], (
        "the paper's average is over ten targets"
    )


def test_the_papers_average_stands_beside_an_average_over_the_same_datasets():
    datasets = [{"name": name, "title": name} for name in sorted(PAPERS["table1_base_to_new"].average_over)]
    content = made.experiment(train_datasets=datasets, paper="table1_base_to_new")
    rows = texts(build(content)["against_paper"])
    assert rows[0][:5] == ("Average over 11 datasets", "CLIP", "60.00", "69.34", "−9.34")
    fewer = made.experiment(train_datasets=datasets[:10], paper="table1_base_to_new")
    assert not any(row[0].startswith("Average") for row in texts(build(fewer)["against_paper"]))


def test_class_incremental_numbers_of_the_paper_are_marked_unverified():
    datasets = [{"name": name, "title": name} for name in sorted(PAPERS["class_incremental_all_classes"].average_over)]
    content = made.experiment(
        "incremental", train_datasets=datasets, target_subsets=["all"], paper="class_incremental_all_classes"
    )
    found = build(content)
    assert found["table"].header == ("Dataset", "Method", "All")
    assert [row[3] for row in texts(found["against_paper"])] == ["65.22†", "65.55†", "69.13†"]


def test_curves_have_a_column_per_number_of_shots():
    content = made.experiment(
        "curves", variants=[made.CLIP, made.COOP], shots=[1, 4], target_subsets=["all"], train_subset="all"
    )
    found = build(content, lambda key: 0.5 + key["shots"] / 100 + STEP[key["seed"]])
    assert found["table"].header == ("Dataset", "Method", "0 shots", "1 shot", "4 shots")
    assert texts(found["table"])[:2] == [
        ("Average over 2 datasets", "CLIP", "50.00", "", ""),
        ("Average over 2 datasets", "CoOp", "", "51.00 ± 1.00", "54.00 ± 1.00"),
    ]


def test_ablation_has_the_average_and_each_dataset():
    random = {"name": "cocoop_random", "label": "CoCoOp (random)", "method": "cocoop", "trainable": True}
    table = build(made.experiment("ablation", variants=[made.COCOOP, random]))["table"]
    assert [row[:2] for row in texts(table)][:2] == [
        ("Average over 2 datasets", "CoCoOp"),
        ("Average over 2 datasets", "CoCoOp (random)"),
    ]
    assert len(table.rows) == 6


def test_without_a_table_of_the_paper_that_is_said():
    found = build(made.experiment())["against_paper"]
    assert not found.rows
    assert found.notes == ("The paper prints no number for these datasets and methods.",)


def test_notes_are_under_the_papers_numbers_too():
    content = made.experiment(
        train_datasets=[{"name": "dtd", "title": "DTD"}, {"name": "eurosat", "title": "EuroSAT"}],
        paper="table1_base_to_new",
    )
    frame = made.records(content, lambda key: 0.5)
    frame.loc[frame["target"].eq("dtd") & frame["target_subset"].eq("new"), "classes"] = 1
    frame.loc[frame["dataset"].eq("eurosat") & frame["shots"].gt(0), "fewest_images"] = 1
    against = tables.build(content, frame, PAPERS, ["dtd: leakage"])[1]
    assert [row[0] for row in texts(against)] == ["DTD"] * 3 + ["EuroSAT"] * 3
    assert texts(against)[0][5:8] == ("—‡", "59.90", "—")
    assert against.notes[-1] == "dtd: leakage"
    assert against.notes[-2].startswith("EuroSAT (base classes), 16 shots: a class has only 1 image to train on")
    assert against.notes[-3].startswith("‡ One class only: DTD (new).")


def test_intervals_stay_where_accuracies_are():
    """Student's t of 98, 99 and 100 per cent, and of 1, 0 and 0, would reach beyond 0 to 100."""
    high = {1: 0.98, 2: 0.99, 3: 1.0}
    rows = texts(build(made.experiment(variants=[made.COOP]), lambda key: high[key["seed"]])["spread"])
    assert {row[-2] for row in rows} == {"96.52 to 100.00"}
    rows = texts(build(made.experiment(variants=[made.COOP]), lambda key: round(1 - high[key["seed"]], 2))["spread"])
    assert {row[-2] for row in rows if row[2] != "H"} == {"0.00 to 3.48"}


def test_captions_say_what_was_done():
    """A caption from a file cannot know what a configuration replaces: shots, classes, seeds, datasets, methods."""
    one = made.experiment("curves", shots=[16], train_subset="all", target_subsets=["all"], seeds=[1])
    words = build(one)["table"].caption
    assert words == (
        "What a reader must know. Backbone: Tiny CLIP. Trained on all classes of each dataset with 16 shots and one seed; "
        "CLIP not trained. Tested on all classes. Guessing scores 25.00 per cent."
    )
    some = made.experiment("curves", shots=[4, 1], variants=[made.COOP], target_subsets=["all"], caption="")
    assert build(some)["table"].caption.startswith(
        "Backbone: Tiny CLIP. Trained on the base classes (the first half) of each dataset with 1 and 4 shots and 3 seeds. Tested"
    )
    none = build(made.experiment(variants=[made.CLIP], target_subsets=["new"]))["table"].caption
    assert "Nothing was trained. Tested on the new classes alone." in none
    frame = made.records(transfer(), lambda key: 0.5)
    frame["classes"] = frame["target"].map({"imagenet": 1000, "dtd": 47, "eurosat": 10})
    assert tables.build(transfer(), frame, None)[0].caption.endswith(
        "Trained on all classes of ImageNet with 16 shots and 3 seeds; CLIP not trained. Tested on all classes of ImageNet, DTD "
        "and EuroSAT. Guessing scores 0.10 to 10.00 per cent, by the number of classes."
    )


def test_spread_states_both_standard_deviations_interval_and_runs():
    table = build(made.experiment())["spread"]
    assert table.header == (
        "Dataset",
        "Method",
        "Classes",
        "Mean",
        "Std (ddof 1)",
        "Std (ddof 0)",
        "95 % interval",
        "Runs",
    )
    rows = {row[:3]: row[3:] for row in texts(table)}
    assert rows["Digits", "CoOp", "Base"] == ("82.00", "1.00", "0.82", "79.52 to 84.48", "3")
    assert rows["Digits", "CLIP", "Base"] == ("70.00", "—", "—", "—", "1")


def test_errors_name_the_choices():
    with pytest.raises(UserError, match=r"unknown kind of table 'curve'; known: .*Did you mean 'curves'"):
        build(made.experiment() | {"table": "curve"})
    with pytest.raises(UserError, match=r"experiment 'base_to_new': paper: unknown paper table 'table1'"):
        build(made.experiment(paper="table1"))


def test_terminal_text_is_aligned():
    text = rendering.to_terminal(build(made.experiment())["table"])
    assert text.splitlines()[:3] == [
        "A title & more",
        "",
        "What a reader must know. Backbone: Tiny CLIP. Trained on the base classes (the first half) of each dataset",
    ]
    start = text.splitlines().index(next(line for line in text.splitlines() if line.startswith("Dataset")))
    assert text.splitlines()[start : start + 5] == [
        "Dataset                  Method             Base           New              H",
        "-----------------------  --------  -------------  ------------  -------------",
        "Average over 2 datasets  CLIP              75.00         70.00          72.41",
        "                         CoOp      *86.00 ± 1.00  60.50 ± 1.00   71.03 ± 1.03",
        "                         CoCoOp     85.50 ± 1.00  70.00 ± 1.00  *76.98 ± 1.01",
    ]


def test_markdown_and_latex_forms_agree_with_the_text():
    table = build(made.experiment())["table"]
    for render in (rendering.to_markdown, rendering.to_terminal):
        for row in texts(table):
            assert all(cell in render(table) for cell in row)


def selected(kinds):
    """The note on selection; kinds: by variant, or by variant and dataset."""
    content = made.experiment()
    frame = made.records(content, accuracy)
    pairs = zip(frame["variant"], frame["target"], strict=True)
    frame["selection"] = [kinds.get((variant, target), kinds.get(variant, "")) for variant, target in pairs]
    return [note for note in tables.build(content, frame, None)[0].notes if note.startswith("Hyper-parameters")]


def test_how_hyper_parameters_were_selected_is_a_note():
    assert not selected({})
    fixed = {"clip": "none", "coop": "none", "cocoop": "none"}
    assert selected(fixed) == ["Hyper-parameters: fixed values of the methods' files."]
    assert selected(fixed | {"coop": "val"}) == [
        "Hyper-parameters: chosen on the few-shot validation images: CoOp; fixed values of the methods' files: all others."
    ]
    assert selected(fixed | {"coop": "hold_one_out", ("cocoop", "shapes"): "val"}) == [
        "Hyper-parameters: chosen on training images that were held out: CoOp; chosen on the few-shot validation images, on "
        "Shapes: CoCoOp; fixed values of the methods' files: all others."
    ]
    assert selected({"coop": "val", ("coop", "shapes"): "hold_one_out", ("cocoop", "shapes"): "hold_one_out"}) == [
        "Hyper-parameters: chosen on the few-shot validation images: CoOp; chosen on training images that were held out, on "
        "Shapes: CoOp; chosen on training images that were held out: CoCoOp."
    ]
    assert selected({"coop": "val"}) == ["Hyper-parameters: chosen on the few-shot validation images: CoOp."]


def test_untrained_methods_on_all_classes_are_compared_with_every_random_half():
    content = made.experiment("incremental", train_subset="base-1", target_subsets=["all"])
    table = build(content | {"train_subset": "base", "drawn": {"halves": [1]}})["table"]
    best = [(row[0].text, row[1].text) for row in table.rows if row[2].best]
    assert best == [("Average over 2 datasets", "CoOp"), ("Digits", "CoOp")]


def test_published_measures_stand_beside_a_table_of_parameters():
    content = made.experiment(
        "parameter_matched", paper_measures={"calibration_base_to_new": ""}, measures=["ece"],
        backbone={"name": "vit_b16", "label": "ViT-B/16"},
    )  # fmt: skip
    rows = made.records(content, accuracy).assign(backbone="vit_b16")
    assert "ece_10_against_paper" in {table.name for table in tables.build(content, rows, PAPERS)}
