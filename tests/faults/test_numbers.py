"""NaN and infinity stop with step and dataset; files made otherwise are named."""

from dataclasses import replace

import pytest
import torch

from cocoop import io, methods
from cocoop.errors import UserError
from cocoop.evaluation.predict import predict
from cocoop.images.inputs import TrainingFiles
from cocoop.manifest import Item, Manifest
from cocoop.methods.base import FewShot, Task
from cocoop.methods.linear_probe import LinearProbe
from cocoop.splits import class_subset, few_shot, save_few_shot
from cocoop.text.text_encoder import TextEncoder, load
from cocoop.training.run import train
from tests.faults import processes
from tests.runs import run_of

BAD = [float("nan"), float("inf"), -float("inf")]


@pytest.fixture(scope="module")
def text(world, made) -> TextEncoder:
    return load(made / "text_tower.safetensors", world.backbone.settings)


def rewritten(source, target, change) -> None:
    """A copy of a tensors file with a valid checksum over changed content: damage that happened before writing."""
    kind = {"features": "features", "views": "views", "learned": "learned"}[source.stem]
    tensors, metadata = io.read_tensors(source, kind)
    change(tensors, metadata)
    io.write_tensors(target, tensors, metadata)


def with_value(key: str, value: float):
    def change(tensors, metadata):
        tensors[key].view(-1)[7] = value

    return change


def run(world, stage, made, out, replaced, log):
    arguments = world.arguments(stage, out, made)
    for flag, path in replaced.items():
        arguments[arguments.index(flag) + 1] = str(path)
    return processes.run(arguments, log)


def refused(ended, *words: str) -> None:
    line = ended.text.strip().splitlines()[-1]
    assert ended.code == 2 and "Traceback" not in ended.text, ended.text
    assert line.startswith("error: ") and all(word in line for word in words), line


@pytest.mark.parametrize("value", BAD)
def test_views_that_are_not_finite(value, world, made, tmp_path, figures):
    views = tmp_path / "views.safetensors"
    rewritten(made / "views.safetensors", views, with_value("seed1.features", value))
    refused(
        run(world, "train", made, tmp_path / "out", {"--views": views}, tmp_path / "log"),
        "views.safetensors",
        "flags",
        "NaN",
    )
    assert not (tmp_path / "out/learned.safetensors").exists()
    figures.add("NaN and infinity", "one line, nothing written")


@pytest.mark.parametrize("value", BAD)
def test_test_features_that_are_not_finite(value, world, made, tmp_path, figures):
    features = tmp_path / "features.safetensors"
    rewritten(made / "features.safetensors", features, with_value("features", value))
    refused(run(world, "evaluate", made, tmp_path / "out", {"--features": features}, tmp_path / "log"), "flags", "NaN")
    assert not (tmp_path / "out/metrics.json").exists()
    figures.add("NaN and infinity", "one line, nothing written")


@pytest.mark.parametrize("value", BAD)
def test_learned_tensors_that_are_not_finite(value, world, made, tmp_path, figures):
    learned = tmp_path / "learned.safetensors"
    rewritten(made / "run/learned.safetensors", learned, with_value("seed1.ctx", value))
    refused(run(world, "evaluate", made, tmp_path / "out", {"--learned": learned}, tmp_path / "log"), "flags", "NaN")
    figures.add("NaN and infinity", "one line, nothing written")


def test_a_loss_that_grows_beyond_all_bounds(world, made, tmp_path, figures):
    steep = replace(world.run, training=replace(world.run.training, lr=1e38, warmup_lr=1e38))
    files = TrainingFiles(made / "text_tower.safetensors", (made / "views.safetensors",))
    with pytest.raises(
        UserError, match=r"train coop on flags: the loss of seed \d is (nan|inf) in epoch \d+, step \d+"
    ):
        train(steep, files, tmp_path / "out", "cpu", 256)
    assert not (tmp_path / "out/learned.safetensors").exists()
    figures.add("NaN and infinity", "one line, nothing written")


def test_logits_that_are_not_finite(figures):
    for value in BAD:
        with pytest.raises(UserError, match="evaluate x: logits hold NaN or infinity"):
            predict(
                lambda images, v=value: torch.full((1, images.shape[1], 3), v),
                [torch.ones(2, 4)],
                torch.zeros(2).long(),
                1,
                "fp32",
                "evaluate x",
            )
        figures.add("NaN and infinity", "one line, nothing written")


@pytest.mark.parametrize("field", ["backbone_fingerprint", "dataset", "precision", "manifest", "preprocessing"])
def test_features_made_otherwise(field, world, made, tmp_path, figures):
    features = tmp_path / "features.safetensors"
    rewritten(made / "features.safetensors", features, lambda tensors, metadata: metadata.update({field: "other"}))
    ended = run(world, "evaluate", made, tmp_path / "out", {"--features": features}, tmp_path / "log")
    refused(ended, "features.safetensors", "made with", "other")
    figures.add("mismatched files", "one line that names the file")


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("precision", "bf16", "precision bf16"),
        ("shots", 1, "shots 1"),
        ("epochs", [6, 12], "contain views [6, 7, 8, 9, 10, 11]"),
    ],
)
def test_views_made_otherwise(field, value, named, world, made, tmp_path, figures):
    views = tmp_path / "views.safetensors"
    rewritten(made / "views.safetensors", views, lambda tensors, metadata: metadata.update({field: value}))
    ended = run(world, "train", made, tmp_path / "out", {"--views": views}, tmp_path / "log")
    refused(ended, "views.safetensors", named)
    figures.add("mismatched files", "one line that names the file")


def test_learned_prompts_of_another_width_or_other_classes(world, made, tmp_path, figures):
    def narrow(tensors, metadata):
        tensors["seed1.ctx"] = tensors["seed1.ctx"][:, :16].clone()

    learned = tmp_path / "learned.safetensors"
    rewritten(made / "run/learned.safetensors", learned, narrow)
    ended = run(world, "evaluate", made, tmp_path / "out", {"--learned": learned}, tmp_path / "log")
    refused(ended, "learned.safetensors", "has shape (4, 16)")
    rewritten(made / "run/learned.safetensors", learned, lambda t, m: m["run"].update(dataset="other"))
    ended = run(world, "evaluate", made, tmp_path / "out", {"--learned": learned}, tmp_path / "log")
    refused(ended, "learned.safetensors", "other settings (dataset)")
    figures.add("mismatched files", "one line that names the file", 2)


def test_class_specific_prompts_of_other_class_names(text, figures):
    run = run_of("coop", params={"n_ctx": 4, "ctx_init": None, "csc": True, "class_token_position": "end"})
    learned = methods.build(run, Task(text, (1,), ("cat", "dog", "fish"))).learned()
    with pytest.raises(UserError, match=r"x: learned tensor seed1\.ctx has shape"):
        methods.build(run, Task(text, (1,), ("cat", "dog"))).load_learned(learned, "x")
    figures.add("mismatched files", "one line that names the file")


def test_linear_probe_of_one_class(text):
    probe = LinearProbe(Task(text, (1,), ("cat",)), C=1.0, iterations=10, search_steps=8)
    probe.fit(FewShot(torch.randn(1, 1, 4, text.embed_dim), torch.zeros(1, 4, dtype=torch.long)))
    assert probe.for_classes(["cat"])(torch.randn(1, 3, text.embed_dim)).argmax(-1).tolist() == [[0, 0, 0]]


def test_fewer_images_than_shots(tmp_path):
    """A class gives what it has (test_odd_classes.py takes such a class through all stages)."""
    items = (Item("a", 0), Item("b", 0), Item("c", 1))
    train_draw, val = few_shot(items, (), 16, 1)
    assert [item.path for item in train_draw] == ["a", "b", "c"] and val == []
    save_few_shot(tmp_path / "f.json", Manifest("odd", ("x", "y"), {"train": items}), 16, 1)
    assert io.read_json(tmp_path / "f.json", "fewshot")["train"] == [0, 1, 2]
    assert class_subset([0, 0, 1], "new") == [1]
