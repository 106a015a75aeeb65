"""How hyper-parameters are chosen: a visible part of a run, on validation or training images, never on test images."""

import ast
import json
from pathlib import Path

import pytest

from cocoop import cli, io
from cocoop.config import Registry
from cocoop.errors import UserError
from cocoop.planning import stages
from cocoop.planning.files import load
from cocoop.planning.jobs import jobs_of
from cocoop.planning.plan import Plan
from cocoop.reporting.records import records

# Each with what it chooses.
ADAPTERS = {
    "taskres": (), "tip_adapter": ("alpha", "beta"), "tip_adapter_val": ("alpha", "beta"),
    "tip_adapter_f": ("alpha", "beta", "epoch"), "tip_adapter_f_val": ("alpha", "beta", "epoch"), "lpp": ("epoch",),
    "gda": ("alpha",), "linear_probe": ("C",), "linear_probe_val": ("C",),
}  # fmt: skip
SMALL = {
    "backbone": "tiny",
    "device": "cpu",
    "seeds": [1, 2],
    "seeds_per_job": 2,
    "views": 2,
    "variants": {
        "taskres": {"training": {"epochs": 2}},
        "tip_adapter": {"selection": "hold_one_out", "params": {"search_step": [5, 4]}},
        "tip_adapter_val": {"params": {"search_step": [5, 4]}},
        "tip_adapter_f": {"training": {"epochs": 3}},
        "tip_adapter_f_val": {"params": {"search_step": [5, 4]}, "training": {"epochs": 3}},
        "lpp": {"params": {"epochs": 20}},
    },
    "experiments": {
        "few_shot_curves": {"variants": ["clip", *ADAPTERS], "train_datasets": ["shapes"], "shots": [2]},
    },
}


def plan(**variants: dict) -> Plan:
    config = load() | SMALL | {"variants": SMALL["variants"] | variants}
    return Plan(config, Registry(overrides=config["variants"]))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A small benchmark of all adapters, whose trainings ran before there was any file of test features."""
    folder = tmp_path_factory.mktemp("benchmark")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        jobs = [job for job in jobs_of(plan()) if stages.ORDER.index(job.stage) <= stages.ORDER.index(stages.EVALUATE)]
        later = (stages.FEATURES, stages.EVALUATE)
        for job in sorted(jobs, key=lambda job: job.stage in later):
            if job.stage is stages.FEATURES:
                assert not list(folder.rglob("test.safetensors"))
            assert cli.main(job.command) in (0, None), job.command
        return folder


def jobs_by_features(of: Plan) -> dict[str, set[str]]:
    """The inputs of each stage that the `features` stage makes."""
    made = {path for job in jobs_of(of) if job.stage is stages.FEATURES for path in job.outputs.values()}
    return {job.stage.name: {*made} & {*job.files} for job in jobs_of(of) if {*made} & {*job.files}}


@pytest.mark.slow
def test_adapters_through_all_stages(finished):
    metrics = [io.read_json(path, "metrics") for path in finished.rglob("metrics.json")]
    found = {record["variant"]: record for of in metrics for record in of["records"]}
    assert set(found) == {"clip", *ADAPTERS}
    for name, chosen in ADAPTERS.items():
        assert sorted(found[name]["chosen"]) == sorted(chosen)
    assert {name: record["selection"] for name, record in found.items()} == {
        "clip": "", "taskres": "", "tip_adapter": "hold_one_out", "tip_adapter_val": "val", "tip_adapter_f": "none",
        "tip_adapter_f_val": "val", "lpp": "val", "gda": "val", "linear_probe": "none", "linear_probe_val": "val",
    }  # fmt: skip
    assert found["tip_adapter_f"]["chosen"] == {"alpha": 1.17, "beta": 1.0, "epoch": 3.0}
    assert found["linear_probe"]["chosen"] == {"C": 0.316}
    records.collect(sorted(finished.rglob("metrics.json")), finished / "records.csv")
    frame = records.load(finished / "records.csv")
    assert set(frame[frame["variant"] == "tip_adapter"]["selection"]) == {"hold_one_out"}
    tested = set(zip(frame["variant"], frame["seed"], strict=True))
    assert tested == {("clip", 0), *((name, seed) for name in ADAPTERS for seed in (1, 2))}


@pytest.mark.slow
def test_training_refuses_test_features(finished, monkeypatch, capsys, tmp_path):
    """Even under another name, as views or as the images to select on."""
    monkeypatch.chdir(finished)
    (test,) = finished.rglob("test.safetensors")
    other = test.rename(test.with_name("validation.safetensors"))
    try:
        job = next(
            job for job in jobs_of(plan()) if job.stage is stages.TRAIN and job.about.variant == "tip_adapter_val"
        )
        for option in ("--views", "--validation"):
            words = list(job.command)
            words[words.index(option) + 1] = str(other)
            words[words.index("--out") + 1] = str(tmp_path / "out")
            assert cli.main(words) == 2
            assert "validation.safetensors" in capsys.readouterr().err
            assert not (tmp_path / "out").exists()
    finally:
        other.rename(test)


def test_only_the_evaluation_has_test_features_among_its_inputs():
    assert set(jobs_by_features(plan())) == {"evaluate"}


def test_only_the_evaluation_calls_the_reader_of_test_images():
    """Whoever asks for a file of kind "features", or for `load_test` or `test_images`, outside of these few places."""
    allowed = {
        "images/cached.py": {"features"},
        "images/loading.py": {"load_test"},
        "evaluation/run.py": {"test_images"},
    }
    package, found = io.REPOSITORY / "cocoop", {}
    for path in package.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        names = {
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "") for node in calls
        }
        asked = names & {"load_test", "test_images"}
        for node in calls:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            kinds = {part.value for part in node.args if isinstance(part, ast.Constant)}
            if name in ("load", "read_tensors", "read_arrays") and "features" in kinds:
                asked |= {"features"}
        if asked:
            found[str(path.relative_to(package))] = asked
    assert found == allowed


def test_a_selection_that_a_method_does_not_support_is_one_line():
    expected = r"variants.taskres.selection: 'val' is not one of none, which are the `selections` of this method"
    with pytest.raises(UserError, match=expected):
        plan(taskres={"selection": "val"})
    with pytest.raises(UserError, match=r"variants.gda.selection: 'test' is not one of none, val, hold_one_out"):
        plan(gda={"selection": "test"})
    with pytest.raises(UserError, match=r"per_shots.2.selection: 'val' is not one of none"):
        plan(taskres={"per_shots": {"2": {"selection": "val"}}})


def test_one_shot_leaves_nothing_to_hold_out():
    config = load() | SMALL | {"variants": {"gda": {"selection": "hold_one_out"}}}
    config["experiments"] = {"few_shot_curves": {"variants": ["gda"], "train_datasets": ["shapes"], "shots": [1, 2]}}
    runs = Plan(config, Registry(overrides=config["variants"])).runs
    assert {run.shots: run.selection for run in runs} == {1: "none", 2: "hold_one_out"}


def test_a_dataset_without_a_val_split_needs_another_selection():
    config = load() | SMALL | {"variants": {"gda": {"per_dataset": {"imagenet": {"selection": "val"}}}}}
    config["experiments"] = {"few_shot_curves": {"variants": ["gda"], "train_datasets": ["imagenet"], "shots": [2]}}
    with pytest.raises(
        UserError, match="variant 'gda' has selection: val, but imagenet has no validation split; write"
    ):
        Plan(config, Registry(overrides=config["variants"]))
    runs = Plan(config | {"variants": {}}, Registry()).runs
    assert {run.selection for run in runs} == {"hold_one_out"}


def test_the_selection_decides_the_images_and_the_identity():
    def run_and_validation(selection: str):
        of = plan(gda={"selection": selection})
        job = next(job for job in jobs_of(of) if job.stage is stages.TRAIN and job.about.variant == "gda")
        return job.about, [Path(path).name for path in job.inputs.get("validation", ())]

    found = {selection: run_and_validation(selection) for selection in ("none", "val", "hold_one_out")}
    assert {selection: files for selection, (_, files) in found.items()} == {
        "none": [], "val": ["validation.safetensors"], "hold_one_out": ["plain.safetensors"],
    }  # fmt: skip
    assert len({run.identity for run, _ in found.values()}) == 3
    assert all(json.loads(run.to_json())["selection"] == selection for selection, (run, _) in found.items())


def test_settings_of_single_datasets_and_shots():
    """A configuration's settings of all datasets take precedence over those of single ones in the method's file."""

    def variant(**over):
        return Registry(overrides={"tip_adapter": over}).variant("tip_adapter", "test")

    own = variant()
    assert (own.on("dtd", 16).params["alpha"], own.on("shapes", 16).params["alpha"]) == (2.0, 1.17)
    assert own.on("dtd", 16).params["search_scale"] == [13, 13]
    changed = variant(params={"alpha": 5.0}, per_dataset={"eurosat": {"params": {"beta": 3.0}, "selection": "val"}})
    assert changed.on("dtd", 16).params["alpha"] == 5.0
    assert changed.on("dtd", 16).params["search_scale"] == [13, 13]
    assert changed.on("eurosat", 16).params == changed.params | {"beta": 3.0, "search_scale": [12, 10]}
    assert (changed.on("eurosat", 16).selection, changed.on("dtd", 16).selection) == ("val", "none")
    with pytest.raises(UserError, match=r"variants.tip_adapter.per_dataset.dtd.params: beta: "):
        variant(per_dataset={"dtd": {"params": {"beta": "much"}}})
    with pytest.raises(UserError, match=r"per_dataset.dtd: epochs: only methods with learns: by_gradient"):
        variant(per_dataset={"dtd": {"epochs": 3}})
