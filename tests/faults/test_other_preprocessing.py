"""A backbone's file that asks for other pixels, through a real Snakemake: what was made of the old ones is made again."""

import json
import shutil

import torch

from cocoop import io
from tests.faults import workflow


def features(folder):
    """What the features rule makes for the configuration as it is now."""
    made = set(folder.glob("results/features/**/*.safetensors"))
    workflow.finish(folder, "--until", "features")
    (path,) = set(folder.glob("results/features/**/*.safetensors")) - made
    return io.read_tensors(path, "features")


def test_other_preprocessing_makes_the_features_again(world, tmp_path):
    shutil.copytree(world.folder / "config", tmp_path / "config")
    file = tmp_path / "config/backbones/small.yaml"
    before, _ = features(tmp_path)
    changed = {"preprocessing": {"resize_mode": "squash", "mean": [0, 0, 0]}}
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    after, facts = features(tmp_path)
    assert (facts["preprocessing"]["resize"], facts["preprocessing"]["mean"]) == ("squash", [0.0, 0.0, 0.0])
    assert not torch.equal(before["features"], after["features"])
