"""The table of costs: numbers from cost.json of every job, worked out by hand."""

import pytest

from cocoop import io
from cocoop.reporting import tables
from cocoop.reporting.records import cost
from cocoop.reporting.records import records as results
from tests.reporting.records import made


@pytest.fixture
def files(tmp_path):
    """Trainings of 3 seeds: 30 s on digits, 60 s and twice the memory on shapes; evaluations of 2 s."""
    content = made.experiment()
    metrics = made.results_folder(tmp_path, content, images=2)
    here = tmp_path / "results/experiments/base_to_new"
    results.collect(metrics, here / "records.csv")
    for path in (tmp_path / "results/runs").rglob("seeds1/cost.json"):
        if "shapes" in path.parts:
            changed = io.read_json(path, "cost") | {"seconds": 60.0, "peak_mb": 1625.0}
            io.write_json(path, changed)
    return here, sorted((tmp_path / "results/runs").rglob("cost.json"))


def test_seconds_are_per_run_and_memory_is_the_highest(files):
    here, costs = files
    built = tables.build_all(here / "experiment.json", here / "records.csv", here / "tables", costs)
    table = built[-1]
    assert table.header == ("Method", "Training (s)", "Evaluation (s)", "Parameters", "Memory (MB)")
    assert [tuple(cell.text for cell in row) for row in table.rows] == [
        ("CLIP", "—", "2.0", "0", "812"),
        ("CoOp", "15.0", "0.7", "512", "1,625"),
        ("CoCoOp", "15.0", "0.7", "2,696", "1,625"),
    ]
    assert table.notes[-1] == "Measured on: cpu."
    for form in (".csv", "_wide.csv", ".md", ".tex", ".txt"):
        assert (here / f"tables/cost{form}").exists()


def test_without_costs_there_is_no_such_table(files):
    here, _ = files
    built = tables.build_all(here / "experiment.json", here / "records.csv", here / "none")
    assert [table.name for table in built] == list(tables.NAMES)


def test_parameters_that_depend_on_the_dataset_are_a_range(files):
    _, costs = files
    content = made.experiment()
    frame = made.records(content, lambda key: 0.5)
    frame.loc[frame["target"].eq("shapes") & frame["variant"].eq("coop"), "trained"] = 4096
    table = tables.build(content, frame, None, measured=cost.per_variant(cost.read(costs)))[-1]
    assert table.rows[1][3].text == "512 to 4,096"
    assert table.tidy.query("variant == 'coop'")[["parameters", "most_parameters"]].to_numpy().tolist() == [[512, 4096]]


def test_each_number_of_shots_has_a_row(files):
    _, costs = files
    content = made.experiment("curves", shots=[4, 16], target_subsets=["all"], train_subset="all")
    measured = cost.per_variant(cost.read(costs))
    table = tables.build(content, made.records(content, lambda key: 0.5), None, measured=measured)[-1]
    assert [tuple(cell.text for cell in row[:3]) for row in table.rows[1:3]] == [
        ("CoOp", "4", "—"), ("CoOp", "16", "15.0"),
    ]  # fmt: skip


def test_several_devices_are_not_comparable(files):
    here, costs = files
    content = io.read_json(costs[0], "cost")
    io.write_json(costs[0], content | {"provenance": {**content["provenance"], "device": "NVIDIA H100"}})
    table = tables.build_all(here / "experiment.json", here / "records.csv", here / "tables", costs)[-1]
    assert table.notes[-1] == "Measured on: NVIDIA H100, cpu. Seconds on different devices cannot be compared."
