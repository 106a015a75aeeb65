"""`dataset new --config`: the first dataset writes a configuration, further ones join it, and it stays the user's own."""

import pytest

from cocoop import io
from cocoop.cli import main
from cocoop.planning import experiment_content
from cocoop.planning.files import plan_of
from tests.data.builders import lay_out, picture
from tests.faults.test_messages import kept

LISTS = "experiments:\n  - base_to_new: {train_datasets: [digits], variants: [clip, coop]}  # mine\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(kept(tmp_path).parent)
    for kind, name in (("experiments", "all_classes"), ("backbones", "vit_b32")):
        io.write_text(
            tmp_path / f"config/{kind}/{name}.yaml", (io.REPOSITORY / f"config/{kind}/{name}.yaml").read_text()
        )
    for name in ("linear_probe", "kgcoop", "tip_adapter"):
        io.write_text(
            tmp_path / f"config/methods/{name}.yaml", (io.REPOSITORY / f"config/methods/{name}.yaml").read_text()
        )
    for number, name in enumerate(("birds", "cats")):
        tree = {f"{label}/{n}.jpg": picture(1000 * number + 100 * label + n) for label in range(4) for n in range(10)}
        lay_out(tree, tmp_path / name)
    return tmp_path


def new(name, config="own.yaml"):
    return main(["dataset", "new", name, "--config", config])


def test_the_second_dataset_joins_the_table_of_the_first(folder, capsys):
    assert new("birds") == 0
    assert "wrote own.yaml, which trains and tests on all classes of birds" in capsys.readouterr().out
    [alone] = plan_of([folder / "own.yaml"]).experiments.values()
    assert alone.train_datasets == ("birds",) and alone.train_subset == "all" and alone.target_subsets == ("all",)
    assert new("cats") == 0
    assert "added cats to the train_datasets of own.yaml" in capsys.readouterr().out
    both = plan_of([folder / "own.yaml"])
    content = experiment_content(both, "all_classes")
    assert [dataset["name"] for dataset in content["train_datasets"]] == ["birds", "cats"]
    assert {run.identity for run in plan_of([folder / "own.yaml"]).runs if run.dataset == "birds"} <= {
        r.identity for r in both.runs
    }


def test_ones_own_words_and_lists_stay(folder, capsys):
    (folder / "mine.yaml").write_text(LISTS)
    assert new("birds", "mine.yaml") == 0
    assert (folder / "mine.yaml").read_text() == LISTS.replace("[digits]", "[digits, birds]")
    (folder / "config/datasets/birds.yaml").unlink()
    assert new("birds", "mine.yaml") == 0 and "mine.yaml already contains birds" in capsys.readouterr().out


def test_a_configuration_that_cannot_be_extended_is_left_alone(folder, capsys):
    for text, said in (
        ("seeds: [1\n", "mine.yaml, line 2: not valid YAML"),
        ("seeds: [1]\n", "mine.yaml: has no line `train_datasets: [...]` for the dataset"),
        (f"seeds: 1\n{LISTS}", "mine.yaml: seeds: expected a list"),
    ):
        (folder / "mine.yaml").write_text(text)
        assert new("birds", "mine.yaml") == 2
        assert said in capsys.readouterr().err and (folder / "mine.yaml").read_text() == text
        (folder / "config/datasets/birds.yaml").unlink(missing_ok=True)
