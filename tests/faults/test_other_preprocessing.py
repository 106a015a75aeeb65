"""A backbone's file that asks for other pixels, through a real Snakemake: what was made of the old ones is made again."""

import json
import shutil

import torch

from cocoop import io
from tests.faults import workflow

FEATURES = "results/features/small/flags/test.safetensors"


def test_other_preprocessing_makes_the_features_again(world, tmp_path):
    shutil.copytree(world.folder / "config", tmp_path / "config")
    file = tmp_path / "config/backbones/small.yaml"
    workflow.finish(tmp_path, FEATURES)
    before, _ = io.read_tensors(tmp_path / FEATURES, "features")
    changed = {"preprocessing": {"resize_mode": "squash", "mean": [0, 0, 0]}}
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    workflow.finish(tmp_path, FEATURES)
    after, facts = io.read_tensors(tmp_path / FEATURES, "features")
    assert (facts["preprocessing"]["resize"], facts["preprocessing"]["mean"]) == ("squash", [0.0, 0.0, 0.0])
    assert not torch.equal(before["features"], after["features"])
