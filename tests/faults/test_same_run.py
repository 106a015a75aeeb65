"""What a training continues and what it does not (another template, other code); seeds in turn; the validation draw."""

import json
from dataclasses import replace

import pytest

from cocoop import io
from tests.faults import processes
from tests.faults.test_numbers import refused
from tests.runs import evaluation_of, run_of


def given(words: list[str], **changes: str) -> list[str]:
    """The command line with other values behind some options."""
    for option, value in changes.items():
        if f"--{option}" in words:
            words[words.index(f"--{option}") + 1] = str(value)
        else:
            words += [f"--{option}", str(value)]
    return words


@pytest.fixture
def kgcoop(world):
    same = ("backbone", "dataset", "subset", "views", "shots", "seeds")
    training = replace(run_of("kgcoop").training, epochs=12, batch_size=2)
    return run_of("kgcoop", training=training, **{name: getattr(world.run, name) for name in same})


def trained(world, made, out, run, text: bool = False):
    ended = processes.run(given(world.arguments("train", out, made), run=run.to_json()), out.with_suffix(".log"))
    assert ended.code == 0, ended.text
    tensors, metadata = io.read_tensors(out / "run/learned.safetensors", "learned")
    return (out / "run/learned.safetensors").read_bytes(), tensors, metadata, ended.text


@pytest.mark.parametrize("change", [{"templates": ("a drawing of a {}.",)}, {"code": "another"}, {"seeds": (2, 1)}])
def test_a_changed_run_is_trained_anew(change, world, made, tmp_path, kgcoop):
    _, before, _, _ = trained(world, made, tmp_path / "here", kgcoop)
    assert "continuing" in trained(world, made, tmp_path / "here", kgcoop)[3]
    changed = replace(kgcoop, **change)
    found, after, metadata, said = trained(world, made, tmp_path / "here", changed)
    assert "continuing" not in said
    assert found == trained(world, made, tmp_path / "fresh", changed)[0]
    assert metadata["run"] == json.loads(changed.to_json())
    if "templates" in change:
        assert any(not after[name].equal(before[name]) for name in before)


def test_learned_tensors_of_another_template_are_refused(world, made, tmp_path, kgcoop):
    trained(world, made, tmp_path, kgcoop)
    other = evaluation_of(replace(kgcoop, templates=("a drawing of a {}.",)), "base").to_json()
    words = given(
        world.arguments("evaluate", tmp_path, made), evaluation=other, learned=tmp_path / "run/learned.safetensors"
    )
    refused(processes.run(words, tmp_path / "log"), "learned.safetensors", "other settings (templates)")


def test_seeds_in_turn_give_the_files_of_seeds_together(world, made, tmp_path, kgcoop):
    """For a method that is not `stacked`: one seed after the other, each with its own checkpoint."""
    apart = replace(kgcoop, stacked=False)
    _, tensors, metadata, _ = trained(world, made, tmp_path / "apart", apart)
    _, together, _, _ = trained(world, made, tmp_path / "together", kgcoop)
    assert tensors.keys() == together.keys() and metadata["run"]["seeds"] == [1, 2]
    for name, tensor in together.items():
        assert (tensors[name] - tensor).norm() <= 1e-4 * tensor.norm()
    for seed in (1, 2):
        alone = trained(world, made, tmp_path / f"seed{seed}", replace(apart, seeds=(seed,)))[1]
        assert all(tensors[name].equal(tensor) for name, tensor in alone.items())
        assert (tmp_path / f"apart/run/checkpoint_seed{seed}.safetensors").exists()
    history = [(tmp_path / f"{name}/run/history.csv").read_text().splitlines() for name in ("apart", "together")]
    assert history[0][0] == history[1][0] == "seed,epoch,lr,loss,accuracy,cross_entropy,knowledge"
    assert [line.split(",")[:3] for line in history[0]] == [line.split(",")[:3] for line in history[1]]
    (tmp_path / "apart/run/checkpoint_seed2.safetensors").unlink()
    before = (tmp_path / "apart/run/learned.safetensors").read_bytes()
    assert trained(world, made, tmp_path / "apart", apart)[0] == before
    records = []
    for name, run in (("apart", apart), ("together", kgcoop)):
        learned = tmp_path / f"{name}/run/learned.safetensors"
        evaluation = evaluation_of(run, "base", "new").to_json()
        words = given(world.arguments("evaluate", tmp_path / name, made), evaluation=evaluation, learned=learned)
        assert processes.run(words, tmp_path / "log").code == 0
        records.append(io.read_json(tmp_path / name / "test/metrics.json", "metrics")["records"])
    keys = ("seed", "target_subset", "total")
    assert [[r[key] for key in keys] for r in records[0]] == [[r[key] for key in keys] for r in records[1]]


def test_features_of_the_validation_draw(world, made, tmp_path, kgcoop):
    words = world.arguments("views", tmp_path, made)
    ended = processes.run([*words, "--split", "val"], tmp_path / "log")
    refused(ended, "validation images are not augmented; leave out --epochs")
    epochs = words.index("--epochs")
    words = given(words[:epochs] + words[epochs + 3 :], out=tmp_path / "val.safetensors", split="val")
    ended = processes.run(words, tmp_path / "log")
    assert ended.code == 0, ended.text
    tensors, metadata = io.read_tensors(tmp_path / "val.safetensors", "views")
    assert (metadata["split"], metadata["epochs"]) == ("val", None)
    assert tensors["seed1.features"].shape == (1, 4, 32)  # both validation images of each of the two base classes
    assert sorted(tensors["seed1.labels"].tolist()) == [0, 0, 1, 1]
    needy = replace(kgcoop, needs=("validation",))
    line = given(world.arguments("train", tmp_path, made), run=needy.to_json())
    refused(processes.run(line, tmp_path / "log"), "kgcoop uses the validation draw; add --validation")
    ended = processes.run([*line, "--validation", str(made / "views.safetensors")], tmp_path / "log")
    refused(ended, "views.safetensors", "made with split train, but this run uses val")
    ended = processes.run([*line, "--validation", str(tmp_path / "val.safetensors")], tmp_path / "log")
    assert ended.code == 0, ended.text
    wrong = given(world.arguments("train", tmp_path / "no", made), views=tmp_path / "val.safetensors")
    refused(processes.run(wrong, tmp_path / "log"), "val.safetensors", "made with split val, but this run uses train")
    assert not (tmp_path / "no").exists()
