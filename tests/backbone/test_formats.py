"""Checkpoints that people have: each loads as the same backbone, or one true line says what it is."""

import json
from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
from open_clip.model import build_model_from_openai_state_dict
from safetensors.torch import save_file

from cocoop import io
from cocoop.backbone import model as backbone
from cocoop.cli import main
from tests.images.pictures import refusal
from tests.reference import golden_model, model_config

FACTS = {"input_resolution": 32, "context_length": 77, "vocab_size": 49408}


@pytest.fixture(scope="module")
def state():
    return golden_model().state_dict()


@pytest.fixture(scope="module")
def fingerprint(spec):
    return backbone.load(spec).fingerprint


def under(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def openai(state):
    """As out of OpenAI's archive: with three numbers about the model."""
    return state | {name: torch.tensor(value) for name, value in FACTS.items()}


def compiled_inside(state):
    return {name.replace("visual.", "visual._orig_mod.").replace("transformer.r", "transformer._orig_mod.r"): tensor
            for name, tensor in state.items()}  # fmt: skip


GOOD = {
    "plain": lambda state: state,
    "an ordered dict": OrderedDict,
    "out of OpenAI's archive": openai,
    "out of OpenAI's archive, wrapped": lambda state: {"state_dict": under("module.", openai(state))},
    "model": lambda state: {"model": state, "epoch": 3},
    "state_dict": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"state": {}, "param_groups": []}},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": 0.5},
    "module of DeepSpeed": lambda state: {"module": state, "global_steps": 5},
    "a wrapper in a wrapper": lambda state: {"model": {"state_dict": state}},
    "numbers beside the tensors": lambda state: state | {"epoch": 3},
    "module.": lambda state: under("module.", state),
    "model.": lambda state: under("model.", state),
    "clip.": lambda state: under("clip.", state),
    "_orig_mod.": lambda state: under("_orig_mod.", state),
    "module._orig_mod.": lambda state: under("module._orig_mod.", state),
    "_orig_mod.module.": lambda state: under("_orig_mod.module.", state),
    "a prefix of one's own": lambda state: under("student.clip_model.", state),
    "towers compiled": compiled_inside,
    "a text tower of its own": lambda state: {
        name if name.startswith(("visual.", "logit")) else f"text.{name}": tensor for name, tensor in state.items()
    },
    "logit_scale of shape [1]": lambda state: state | {"logit_scale": state["logit_scale"].reshape(1)},
    "attn_mask of older versions": lambda state: state | {"attn_mask": torch.zeros(77, 77)},
}


@pytest.mark.parametrize("form", GOOD)
@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".pth.tar", ".pth.tar-50"])
def test_a_complete_model_loads_in_any_format(form, suffix, spec, state, fingerprint, tmp_path):
    path = tmp_path / f"weights{suffix}"
    torch.save(GOOD[form](dict(state)), path)
    assert backbone.load(replace(spec, pretrained=str(path))).fingerprint == fingerprint


@pytest.mark.parametrize("form", ["module.", "out of OpenAI's archive", "towers compiled"])
def test_safetensors_load_in_any_form(form, spec, state, fingerprint, tmp_path):
    save_file(GOOD[form](dict(state)), tmp_path / "weights.safetensors")
    assert backbone.load(replace(spec, pretrained=str(tmp_path / "weights.safetensors"))).fingerprint == fingerprint


def test_openai_weights_load_as_with_open_clips_converter(spec, tmp_path):
    torch.manual_seed(0)
    half = {name: tensor.half() for name, tensor in golden_model().state_dict().items()}
    torch.save(openai(half), tmp_path / "weights.pt")
    loaded = backbone.load(replace(spec, pretrained=str(tmp_path / "weights.pt"))).model
    theirs = build_model_from_openai_state_dict(openai(half)).float()
    tokens = torch.tensor([[49406, 320, 1125, 49407, *[0] * 73]])
    torch.testing.assert_close(loaded.state_dict(), theirs.state_dict(), rtol=1e-3, atol=1e-4)
    assert theirs.encode_text(tokens).shape == loaded.encode_text(tokens).shape


def test_openais_weights_need_quick_gelu(spec, state, tmp_path):
    (tmp_path / "plain_gelu.json").write_text(json.dumps(model_config() | {"quick_gelu": False}))
    torch.save(openai(state), tmp_path / "weights.pt")
    message = refusal(spec, model=str(tmp_path / "plain_gelu.json"), pretrained=str(tmp_path / "weights.pt"))
    assert "OpenAI's weights need QuickGELU; use the model with the suffix -quickgelu" in message


def some(*names):
    return {name: torch.zeros(2) for name in names}


def part(state, prefix, cut=""):
    return {n.removeprefix(cut): t for n, t in state.items() if n.startswith(prefix)}


PROMPTS = "contains learned prompts (CoOp, CoCoOp or similar), not a backbone"
BAD = {
    "transformers": (
        lambda s: some("logit_scale", "text_model.embeddings.position_embedding.weight", "vision_model.pre_layrnorm.bias"),
        "has the format of Hugging Face's transformers; use open_clip_model.safetensors or open_clip_pytorch_model.bin from the "
        "same repository",
    ),
    "CoOp": (lambda s: {"state_dict": some("ctx", "token_prefix", "token_suffix"), "epoch": 50}, PROMPTS),
    "CoCoOp": (lambda s: {"state_dict": some("prompt_learner.ctx", "prompt_learner.meta_net.linear1.weight")}, PROMPTS),
    "a whole prompted model": (lambda s: under("image_encoder.", s) | some("prompt_learner.ctx"), PROMPTS),
    "LoRA": (lambda s: some("base_model.model.visual.proj.lora_A.weight"), "contains a LoRA or adapter"),
    "a model with LoRA in it": (lambda s: s | some("visual.proj.lora_A.weight"), "contains a LoRA or adapter"),
    "image tower": (lambda s: part(s, "visual."), "contains only the image tower"),
    "image tower without its prefix": (lambda s: part(s, "visual.", "visual."), "contains only the image tower"),
    "text tower": (
        lambda s: {n: t for n, t in s.items() if not n.startswith("visual.")},
        "contains only the text tower, but the image tower is needed too",
    ),
    "timm": (lambda s: some("patch_embed.proj.weight", "cls_token", "head.weight"), "contains only an image tower in timm's"),
    "optimizer": (
        lambda s: {"state": {0: some("exp_avg")}, "param_groups": [{"lr": 0.1}]},
        "contains only the state of an optimizer",
    ),
    "optimizer in a checkpoint": (lambda s: {"epoch": 3, "optimizer": {"state": {}}}, "contains only the state of an optimizer"),
    "a head beside the model": (
        lambda s: under("clip.", s) | some("head.weight"),
        "it contains all tensors of the model with the prefix 'clip.', but it has head.weight as well, "
        "which the model does not have; remove them",
    ),
    "more than the model": (lambda s: s | some("a", "b"), "it contains all tensors of the model, but it has a, b as well"),
    "less than the model": (
        lambda s: {n: t for n, t in s.items() if n != "visual.proj"},
        "incomplete for this model: it lacks visual.proj",
    ),
    "numbers only": (lambda s: {"epoch": 3, "lr": 0.1}, "not a checkpoint of a model, because it contains no state dict"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_incomplete_models_are_recognised(kind, spec, state, tmp_path):
    content, expected = BAD[kind]
    torch.save(content(dict(state)), tmp_path / "weights.bin")
    message = refusal(spec, pretrained=str(tmp_path / "weights.bin"))
    assert message.startswith(f"{tmp_path / 'weights.bin'}: {expected}"), message
    assert "another architecture" not in message


class Schedule:
    """Stands for the scheduler object in a checkpoint of the CoOp authors' code, which no safe reader loads."""


def test_prompts_with_python_objects_are_recognised(spec, tmp_path):
    content = {"state_dict": some("ctx", "token_prefix", "token_suffix"), "epoch": 50, "scheduler": Schedule()}
    torch.save(content, tmp_path / "model.pth.tar-50")
    assert PROMPTS in refusal(spec, pretrained=str(tmp_path / "model.pth.tar-50"))


def test_a_training_checkpoint_with_objects_is_not_misnamed(spec, state, tmp_path):
    """It holds a whole model beside an optimizer and arguments, so no part of it may be called all of it."""
    content = {"model": state, "optimizer": {"state": {}, "param_groups": []}, "args": Schedule(), "adapter": "lora_"}
    torch.save(content, tmp_path / "weights.pt")
    assert "refused, because it is corrupt or contains Python objects" in refusal(
        spec, pretrained=str(tmp_path / "weights.pt")
    )


@pytest.mark.parametrize("kind", ["learned", "features", "text-tower"])
def test_files_of_this_benchmark_are_named(kind, spec, tmp_path):
    io.write_tensors(tmp_path / "x.safetensors", some("seed1.ctx"), {"kind": kind})
    assert f'x.safetensors: contains "{kind}" of this benchmark, not the weights' in refusal(
        spec, pretrained=str(tmp_path / "x.safetensors")
    )


def test_the_stage_reports_it_in_one_line(spec, tmp_path, capsys):
    torch.save({"state_dict": some("ctx", "token_prefix"), "epoch": 50}, tmp_path / "model.pth.tar-50")
    settings = replace(spec, pretrained=str(tmp_path / "model.pth.tar-50")).settings
    assert main(["text-tower", "--backbone", json.dumps(settings), "--out", str(tmp_path / "tower")]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {tmp_path}/model.pth.tar-50: {PROMPTS}")
    assert not (tmp_path / "tower").exists()
