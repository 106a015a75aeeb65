"""The tables of the paired comparisons, what the seeds can detect, and bold numbers, as a reader sees them."""

import pytest

from cocoop.config.draw import ALL_SHOTS
from cocoop.reporting import tables
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import records as results
from cocoop.reporting.records import statistics
from cocoop.reporting.tables import comparison, detecting
from tests.reporting.records import made

pytestmark = pytest.mark.filterwarnings("error")


def built(tmp_path, **changes):
    experiment = made.experiment(**changes)
    metrics = made.results_folder(tmp_path, experiment)
    results.collect(metrics, tmp_path / "records.csv")
    path = tmp_path / f"results/experiments/{experiment['name']}/experiment.json"
    return experiment, comparison.build(path, metrics, tmp_path / "records.csv", tmp_path / "out")


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_all_three_tables_are_written_and_read_again(tmp_path):
    experiment, made_now = built(tmp_path)
    assert [table.name for table in made_now] == list(comparison.NAMES)
    read = comparison.load(experiment, tmp_path / "out")
    assert [texts(table) for table in read] == [texts(table) for table in made_now]
    assert [table.notes for table in read] == [
        table.notes[: len(again.notes)] for table, again in zip(made_now, read, strict=True)
    ]
    assert comparison.load(experiment, tmp_path / "nowhere") == []


def test_raw_and_corrected_p_stand_side_by_side(tmp_path):
    _, (images, datasets, ranks) = built(tmp_path)
    assert len(images.rows) == 2 * 2 * 3 and images.header[6:8] == ("p", "p (Holm)")
    assert "corrected for 12 tests in this table" in images.notes[0]
    assert [row[0] for row in texts(datasets)] == 3 * ["Base"] + 3 * ["New"] + 3 * ["H"]
    assert "corrected for 9 tests in this table" in datasets.notes[0]
    assert [row[0] for row in texts(ranks)] == 3 * ["Base"] + 3 * ["New"] + 3 * ["H"]
    assert ranks.rows[0][3].text and not ranks.rows[1][3].text, "Friedman's p stands once for each group"


@pytest.mark.parametrize(
    ("changes", "blank"),
    [
        ({"seeds": [1]}, {"Std over seeds", "Detectable"}),
        ({"variants": [made.CLIP]}, set()),
        ({"variants": [made.CLIP, made.COOP], "train_datasets": [{"name": "digits", "title": "Digits"}]}, set()),
    ],
    ids=["one seed", "one variant", "one dataset"],
)
def test_what_is_not_defined_is_a_dash_with_a_note(tmp_path, changes, blank):
    _, made_now = built(tmp_path, **changes)
    written = "".join(path.read_text() for path in (tmp_path / "out").iterdir())
    assert "nan" not in written.replace("Friedman", "").lower()
    images = made_now[0]
    for row in texts(images):
        assert {name for name, text in zip(images.header, row, strict=True) if text == "—"} == blank
    for table in made_now:
        assert (
            table.notes[0] == comparison.ONE_DATASET if not table.rows else table.notes[0].startswith(("Perc", "Rank"))
        )


def noted(content, value):
    selected = experiments.select(content, made.records(content, value))
    return detecting.footnotes(statistics.per_seed(content, selected))


def test_the_note_says_what_the_seeds_can_detect():
    """Differences of the averages over seeds: base 0.1, 0.2, 0.3 (std 0.1), new 0 (no spread), and 3.26 standard deviations."""
    step = {("cocoop", "base"): 0.1}

    def value(key):
        return 0.3 + key["seed"] * step.get((key["variant"], key["target_subset"]), 0.0)

    content = made.experiment()
    (note,) = noted(content, value)
    assert note.startswith("What 3 seeds can detect: a true difference between two trained methods of 32.6")
    assert "(Base), " in note and "(New)" not in note and "in the average; a paired t test" in note
    main = tables.build(content, made.records(content, value), None)[0]
    assert note in main.notes


@pytest.mark.parametrize(
    "changes", [{"seeds": [1]}, {"variants": [made.CLIP, made.COOP]}], ids=["one seed", "one method"]
)
def test_without_pairs_or_spread_there_is_no_note(changes):
    assert noted(made.experiment(**changes), lambda key: 0.1 * key["seed"]) == ()
    assert noted(made.experiment(), lambda key: 0.5) == ()


def test_each_number_of_shots_has_its_own_detectable_difference():
    content = made.experiment("curves", shots=[1, 16], target_subsets=["all"], train_subset="all")
    (note,) = noted(
        content, lambda key: 0.3 + key["seed"] * (key["variant"] == "coop") * (0.1 if key["shots"] == 1 else 0.05)
    )
    assert " (1 shot), " in note and " (16 shots) percentage points in the average" in note


def test_all_training_images_are_no_number_of_shots():
    content = made.experiment("curves", shots=[16, ALL_SHOTS], target_subsets=["all"], train_subset="all")
    (note,) = noted(content, lambda key: 0.3 + 0.1 * key["seed"] * (key["variant"] == "coop"))
    assert " (16 shots), " in note and " (all training images) percentage points" in note


def test_rows_name_the_dataset_trained_on_where_there_are_several(tmp_path):
    datasets = [{"name": name, "title": name.title()} for name in ("digits", "shapes")]
    grid = {"train_datasets": datasets, "targets": datasets, "target_subsets": ["all"], "train_subset": "all"}
    _, (images, *_) = built(tmp_path, kind="transfer", variants=[made.CLIP, made.COOP], **grid)
    assert [row[0] for row in texts(images)] == [
        f"{target}, trained on {source}" for target in ("Digits", "Shapes") for source in ("Digits", "Shapes")
    ]
