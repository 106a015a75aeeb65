"""The exact encoder on the class names of the CoOp authors' split files, in label order (tests/goldens/class_names.json)."""

import json
from pathlib import Path

import pytest
import torch

from cocoop.text.prompts import learnable
from tests.oracle import TOKENIZER, text_model
from tests.text.test_prompt_encoder import compare

CLASSNAMES = json.loads((Path(__file__).parents[1] / "goldens/class_names.json").read_text())


@pytest.mark.parametrize("dataset", CLASSNAMES)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_features_and_gradients(dataset, dtype, tolerance):
    prompts = learnable(TOKENIZER, 77, CLASSNAMES[dataset], 4, "a photo of a")
    torch.manual_seed(4)
    compare(text_model(16, 2, 2), prompts, torch.randn(1, 4, 16, dtype=dtype), tolerance=tolerance)
