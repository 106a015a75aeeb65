"""`python -m cocoop show` is about one configuration: what is not of it, or no longer, is said."""

import pytest

from cocoop import io
from cocoop.cli import main
from cocoop.planning import Plan, experiment_content, experiment_file
from cocoop.planning.files import load

DEMO = load()


def of(**changes):
    """The demo with one experiment on digits, and these changes."""
    experiment = {"train_datasets": ["digits"], "variants": ["clip", "coop"]}
    return DEMO | {"experiments": {"base_to_new": experiment}} | changes


def made_with(root, config, text="the table"):
    """Results as a run of a configuration leaves them."""
    plan = Plan(config)
    for name in plan.experiments:
        here = root / "results/experiments" / name
        io.write_json(
            here / experiment_file(plan, name), {"schema": 1, "kind": "experiment", **experiment_content(plan, name)}
        )
        io.write_text(here / "tables/table.txt", f"{name}: {text}\n")


def show(root, config, capsys):
    io.write_text(root / "mine.yaml", io.canonical_json(config))
    code = main(["show", "--configfile", str(root / "mine.yaml"), "--results", str(root / "results")])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_tables_of_the_configuration_are_shown_and_named(tmp_path, capsys):
    made_with(tmp_path, of())
    code, said = show(tmp_path, of(), capsys)
    assert code == 0
    assert said.splitlines()[0].endswith("mine.yaml: base_to_new")
    assert "base_to_new: the table" in said and "stale" not in said.lower()


def test_tables_of_another_configuration_are_named_only(tmp_path, capsys):
    made_with(tmp_path, of())
    made_with(tmp_path, of(experiments={"class_incremental": {"train_datasets": ["shapes"]}}))
    code, said = show(tmp_path, of(), capsys)
    assert code == 0 and "class_incremental: the table" not in said
    assert (
        "Not shown, because they belong to another configuration: class_incremental (name it with --configfile)" in said
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [1, 2]},
        {"views": 2},
        {"variants": {"coop": {"training": {"lr": 0.004}}}},
        {"experiments": {"base_to_new": {"train_datasets": ["shapes"], "variants": ["clip", "coop"]}}},
        {"experiments": {"base_to_new": {"train_datasets": ["digits"], "variants": ["clip", "coop"], "title": "New"}}},
    ],
    ids=["seeds", "views", "learning rate", "dataset", "title"],
)
def test_a_table_that_no_longer_fits_the_configuration_is_stale(tmp_path, capsys, changes):
    made_with(tmp_path, of())
    code, said = show(tmp_path, of(**changes), capsys)
    assert code == 0
    assert said.splitlines()[0].endswith("mine.yaml: base_to_new (stale)")
    assert said.index("STALE: this table was made with other settings than the current ones") < said.index(
        "base_to_new: the table"
    )


def test_what_is_not_made_yet_is_named(tmp_path, capsys):
    made_with(tmp_path, of())
    config = of()
    config["experiments"] = config["experiments"] | {"class_incremental": {"train_datasets": ["shapes"]}}
    code, said = show(tmp_path, config, capsys)
    assert code == 0 and "No table yet: class_incremental" in said


def test_only_tables_of_another_configuration_are_an_error(tmp_path, capsys):
    made_with(tmp_path, of(experiments={"class_incremental": {"train_datasets": ["shapes"]}}))
    code, said = show(tmp_path, of(), capsys)
    assert code == 2
    assert "has no tables yet (" in said and "There are tables of class_incremental; name their configuration" in said
    assert len(said.strip().splitlines()) == 1


def test_a_damaged_experiment_file_is_stale(tmp_path, capsys):
    made_with(tmp_path, of())
    (made,) = (tmp_path / "results/experiments/base_to_new").glob("experiment-*.json")
    io.write_text(made, "{}")
    code, said = show(tmp_path, of(), capsys)
    assert code == 0 and "base_to_new (stale)" in said
