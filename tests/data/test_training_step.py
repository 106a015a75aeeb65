"""Every dataset of the paper from its archives to a training step and a test."""

import json

import pytest

from cocoop import io
from cocoop.backbone import model as backbone
from cocoop.config import BackboneSpec, Registry
from cocoop.data import prepare
from cocoop.evaluation.run import evaluate
from cocoop.images import features, views
from cocoop.splits import load_few_shot, save_few_shot
from cocoop.text import text_encoder as text
from cocoop.training.run import train
from tests.reference import model_config

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


def settings(loaded, dataset: str, variant: str) -> dict:
    spec = Registry().variant(variant, "test")
    return {
        "backbone": loaded.spec.settings,
        "dataset": dataset,
        "subset": "all",
        "variant": variant,
        "label": spec.label,
        "method": spec.method,
        "implementation": spec.implementation,
        "version": spec.version,
        "inputs": spec.inputs,
        "params": dict(spec.params),
        "training": {**vars(spec.training), "epochs": 2, "batch_size": 4} if spec.training else None,
        "views": 2 if spec.training else 0,
        "shots": 1 if spec.training else 0,
        "seeds": [1] if spec.training else [0],
    }


def test_there_are_fifteen():
    assert len(PAPER) == 15


@pytest.mark.parametrize("name", PAPER)
def test_archive_to_metrics(name, model, tiny_dataset, tmp_path):
    (loaded, tower), (spec, data_root) = model, tiny_dataset(name)
    manifest = prepare.manifest(spec, data_root, tmp_path / "manifest.json")
    root = data_root / spec.folder
    features.extract_test(loaded, manifest, root, "test", tmp_path / "test.safetensors")
    learned, of = None, settings(loaded, name, "clip")
    if not spec.test_only:
        of = settings(loaded, name, "cocoop")
        save_few_shot(tmp_path / "fewshot.json", manifest, 1, 1)
        selection = load_few_shot(tmp_path / "fewshot.json")
        views.extract(loaded, manifest, root, {1: selection}, "all", range(2), tmp_path / "views.safetensors")
        train(of, tower, [tmp_path / "views.safetensors"], spec.template, tmp_path / "run", "cpu", 256)
        learned = tmp_path / "run" / "learned.safetensors"
    evaluate(
        of, name, ["all"], spec.template, tower, tmp_path / "test.safetensors", learned, tmp_path / "out", "cpu", 256
    )
    (record,) = io.read_json(tmp_path / "out" / "metrics.json", "metrics")["records"]
    assert record["total"] == len(manifest.splits["test"])
    assert [row["name"] for row in record["classes"]] == list(manifest.classnames)
