"""Features and learned tensors of a list of images that has since changed are not taken for results of the new one."""

from dataclasses import replace

import pytest

from cocoop.manifest import Manifest
from tests.faults import processes
from tests.faults.test_numbers import refused, rewritten
from tests.runs import evaluation_of


@pytest.fixture
def changed(made, tmp_path):
    """The manifest without its first test image."""
    now = Manifest.load(made / "manifest.json")
    splits = now.splits | {"test": now.splits["test"][1:]}
    Manifest(now.dataset, now.classnames, splits).save(tmp_path / "manifest.json")
    return tmp_path / "manifest.json"


def line(world, made, out, trained=True, **replaced):
    """The `evaluate` of CoOp or CLIP, with other values behind some flags; None takes a flag away."""
    evaluation = next(e for e in world.plan.evaluations if e.run.trainable == trained)
    words = world.arguments("evaluate", out, made)
    values = {"evaluation": evaluation.to_json()} | ({} if trained else {"learned": None})
    for flag, value in (values | replaced).items():
        at = words.index(f"--{flag}")
        words[at : at + 2] = [] if value is None else [words[at], str(value)]
    return words


@pytest.mark.parametrize("given", ["untrained", "trained here", "trained elsewhere"])
def test_features_of_an_older_manifest(given, world, made, changed, tmp_path):
    before, now = (Manifest.load(path).fingerprint for path in (made / "manifest.json", changed))
    learned, options = tmp_path / "learned.safetensors", {}
    if given == "trained here":
        rewritten(made / "run/learned.safetensors", learned, lambda t, m: m["made"].update(manifest=now))
        options = {"learned": learned}
    if given == "trained elsewhere":
        elsewhere = replace(world.run, dataset="elsewhere")

        def moved(tensors, metadata):
            metadata["run"] = elsewhere.to_dict()
            metadata["made"]["manifest"] = "that of elsewhere"

        rewritten(made / "run/learned.safetensors", learned, moved)
        evaluation = evaluation_of(elsewhere, "base", "new", target="flags")
        options = {"evaluation": evaluation.to_json(), "learned": learned}
    words = line(world, made, tmp_path / "out", given != "untrained", manifest=changed, **options)
    ended = processes.run(words, tmp_path / "log")
    refused(ended, f"features.safetensors: made with manifest {before[:12]}.., but this run uses {now[:12]}..; delete")
    assert not (tmp_path / "out/test/metrics.json").exists()


def test_tensors_learned_on_an_older_manifest(world, made, changed, tmp_path):
    ended = processes.run(line(world, made, tmp_path / "out", manifest=changed), tmp_path / "log")
    refused(ended, "learned.safetensors: was trained on images of another manifest than", "train it again")


def test_manifest_of_another_dataset(world, made, tmp_path):
    now, letters = Manifest.load(made / "manifest.json"), tmp_path / "manifest.json"
    Manifest("letters", now.classnames, now.splits).save(letters)
    ended = processes.run(line(world, made, tmp_path / "out", trained=False, manifest=letters), tmp_path / "log")
    refused(ended, "lists dataset 'letters', but this run tests on 'flags'")


def test_the_manifest_is_optional_and_changes_no_byte(world, made, tmp_path):
    ended = processes.run(line(world, made, tmp_path / "out", manifest=None), tmp_path / "log")
    assert ended.code == 0, ended.text
    assert (tmp_path / "out/test/metrics.json").read_bytes() == (made / "test/metrics.json").read_bytes()
