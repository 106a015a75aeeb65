"""Every dataset of the paper from its archives to a training step and a test."""

import json
from dataclasses import replace

import pytest

from cocoop import io
from cocoop.backbone import model as backbone
from cocoop.config import BackboneSpec, Registry
from cocoop.data import prepare
from cocoop.evaluation.run import evaluate
from cocoop.images import features, views
from cocoop.images.inputs import TestFiles, TrainingFiles
from cocoop.run import Run
from cocoop.splits import load_few_shot, save_few_shot
from cocoop.text import text_encoder as text
from cocoop.training.run import train
from tests.reference import model_config
from tests.runs import evaluation_of, run_of

PAPER = [name for name in Registry().names("datasets") if "miniature" not in Registry().dataset(name, "test").settings]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A random CLIP of the goldens' geometry, with its text side saved."""
    folder = tmp_path_factory.mktemp("backbone")
    (folder / "random_clip.json").write_text(json.dumps(model_config()))
    spec = BackboneSpec("random", str(folder / "random_clip.json"), None)
    loaded = backbone.load(spec)
    text.save(folder / "text_tower.safetensors", loaded.model, spec.name, loaded.fingerprint)
    return loaded, folder / "text_tower.safetensors"


def run_on(loaded, dataset: str, template: str, variant: str) -> Run:
    spec = Registry().variants[variant]
    training = spec.training and replace(spec.training, epochs=2, batch_size=4)
    return run_of(
        spec, backbone=loaded.spec, dataset=dataset, templates=(template,), training=training,
        views=2 if training else 0, seeds=(1,) if training else (0,),
    )  # fmt: skip


def test_the_registry_has_fifteen_datasets():
    assert len(PAPER) == 15


@pytest.mark.parametrize("name", PAPER)
@pytest.mark.slow
def test_archive_to_metrics(name, model, tiny_dataset, tmp_path):
    (loaded, tower), (spec, data_root) = model, tiny_dataset(name)
    manifest = prepare.manifest(spec, data_root, tmp_path / "manifest.json")
    root = data_root / spec.folder
    features.extract_test(loaded, manifest, root, "test", tmp_path / "test.safetensors")
    learned, run = None, run_on(loaded, name, spec.template, "clip")
    if not spec.test_only:
        run = run_on(loaded, name, spec.template, "cocoop")
        save_few_shot(tmp_path / "fewshot.json", manifest, 1, 1)
        selection = load_few_shot(tmp_path / "fewshot.json")
        views.extract(loaded, manifest, root, {1: selection}, "all", range(2), tmp_path / "views.safetensors")
        train(run, TrainingFiles(tower, (tmp_path / "views.safetensors",)), tmp_path / "run", "cpu", 256)
        learned = tmp_path / "run" / "learned.safetensors"
    files = TestFiles(tower, tmp_path / "test.safetensors", learned)
    evaluate(evaluation_of(run, "all"), files, tmp_path / "out", "cpu", 256)
    (record,) = io.read_json(tmp_path / "out" / "metrics.json", "metrics")["records"]
    assert record["total"] == len(manifest.splits["test"])
    assert [row["name"] for row in record["classes"]] == list(manifest.classnames)
