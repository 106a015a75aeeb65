"""The exact encoder on the class names of the official split files, where those are at hand."""

import json
import os
from pathlib import Path

import pytest
import torch

from cocoop.clip.prompts import learnable
from tests.clip.test_prompt_encoder import compare
from tests.oracle import TOKENIZER, text_model

SPLITS = os.environ.get("COCOOP_SPLITS", "")
DATASETS = ["Caltech101", "DescribableTextures", "EuroSAT", "OxfordFlowers", "OxfordPets", "StanfordCars", "UCF101"]


@pytest.mark.skipif(not SPLITS, reason="COCOOP_SPLITS: no folder with the official split files given")
@pytest.mark.parametrize("dataset", DATASETS)
def test_features_and_gradients(dataset):
    content = json.loads((Path(SPLITS) / f"split_zhou_{dataset}.json").read_text())
    names = {label: name for items in content.values() for _, label, name in items}
    prompts = learnable(TOKENIZER, 77, [names[label] for label in sorted(names)], 4, "a photo of a")
    torch.manual_seed(4)
    compare(text_model(16, 3, 2), prompts, torch.randn(2, 4, 16, dtype=torch.float64))
