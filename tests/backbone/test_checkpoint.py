import json
import os
import re
import warnings
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import torch

from cocoop import io
from cocoop.backbone import checkpoint
from cocoop.backbone import model as backbone
from tests.images.pictures import refusal, written
from tests.reference import golden_model, goldens, model_config


def test_other_architecture_names_the_first_tensors(spec, tmp_path):
    state = golden_model().state_dict()
    wider = state | {"visual.proj": torch.zeros(128, 70), "positional_embedding": torch.zeros(50, 128)}
    message = refusal(spec, pretrained=written(tmp_path / "wider.pt", wider))
    assert "visual.proj is 128x70 in the file and 128x64 in the model" in message
    assert "positional_embedding is 50x128 in the file and 77x128 in the model" in message
    renamed = {name.replace("ln_final", "norm"): tensor for name, tensor in state.items()}
    message = refusal(spec, pretrained=written(tmp_path / "renamed.pt", renamed))
    assert "it lacks ln_final.weight, ln_final.bias; it has norm.weight, norm.bias" in message


class Malicious:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def test_pickle_that_runs_code_is_refused_and_not_run(spec, tmp_path):
    message = refusal(spec, pretrained=written(tmp_path / "bad.pt", {"a": Malicious(str(tmp_path / "ran"))}))
    assert "refused" in message
    assert "malicious code; if you trust it, convert it to safetensors" in message
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello world", b"PK\x03\x04" + bytes(100)])
def test_damaged_checkpoint_is_named(spec, tmp_path, suffix, content):
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    message = refusal(spec, pretrained=str(path))
    assert message.startswith(str(path))
    assert "corrupt" in message


def test_checkpoint_without_a_state_dict_is_named(spec, tmp_path):
    assert "contains no state dict" in refusal(spec, pretrained=written(tmp_path / "list.pt", {"a": 3}))
    assert "not a checkpoint" in refusal(spec, pretrained=written(tmp_path / "empty.pt", {"state_dict": {}}))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The golden CLIP as OpenAI publishes its models: a traced TorchScript archive."""
    path = tmp_path_factory.mktemp("archive") / "golden.pt"
    model = golden_model()
    mask = model._buffers.pop("attn_mask")
    vars(model)["attn_mask"] = mask  # no tensor of the archive, as in OpenAI's model
    for name, value in (("input_resolution", 32), ("context_length", 77), ("vocab_size", 49408)):
        vars(model).pop(name, None)
        model.register_buffer(name, torch.tensor(value))
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        example = (torch.from_numpy(goldens()["pixels"][:1]), torch.zeros(1, 77, dtype=torch.long))
        torch.jit.trace(model, example, check_trace=False).save(path)
    return path


def test_archive_is_opened_only_if_openai_published_it(spec, archive, monkeypatch):
    message = refusal(spec, pretrained=str(archive))
    assert "a TorchScript archive is a program and OpenAI did not publish this one" in message
    monkeypatch.setattr(checkpoint, "PUBLISHED", {io.sha256_file(archive)})
    assert backbone.load(replace(spec, pretrained=str(archive))).fingerprint == backbone.load(spec).fingerprint


def test_archive_needs_quick_gelu(spec, archive, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "PUBLISHED", {io.sha256_file(archive)})
    (tmp_path / "golden_gelu.json").write_text(json.dumps(model_config() | {"quick_gelu": False}))
    message = refusal(spec, model=str(tmp_path / "golden_gelu.json"), pretrained=str(archive))
    assert "OpenAI's weights need QuickGELU" in message


def test_published_files_are_openais():
    """Those of the table of open_clip 3; open_clip 4 has none, because it takes OpenAI's weights from the Hugging Face hub."""
    source = (Path(open_clip.__file__).parent / "pretrained.py").read_text()
    known = set(re.findall(r"openaipublic.*/([0-9a-f]{64})/", source))
    assert known == checkpoint.PUBLISHED and len(known) == 9
