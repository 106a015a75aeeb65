import json
import logging
from dataclasses import replace

import open_clip
import pytest
import torch

from cocoop.backbone import architecture, tiny
from cocoop.backbone import model as backbone
from cocoop.config.registry import Registry
from tests.images.pictures import refusal, written
from tests.reference import golden_model, goldens, model_config

PIXELS = torch.from_numpy(goldens()["pixels"])
FEATURES = torch.from_numpy(goldens()["image_features"])


def test_features_are_the_references(spec):
    loaded = backbone.load(spec)
    torch.testing.assert_close(loaded.encode_images(PIXELS), FEATURES, rtol=1e-3, atol=1e-4)
    assert (loaded.embed_dim, loaded.image_size, loaded.interpolation) == (64, 32, "bicubic")
    assert (loaded.mean, loaded.std) == (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    assert loaded.logit_scale == pytest.approx(1 / 0.07)


def test_model_is_frozen_in_eval_mode(spec):
    model = backbone.load(spec).model
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_any_form_of_checkpoint_gives_the_same_backbone(spec, tmp_path):
    state = golden_model().state_dict()
    wrapped = {"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}
    files = [written(tmp_path / "plain.pt", state), written(tmp_path / "training.pth", wrapped)]
    prints = {backbone.load(replace(spec, pretrained=file)).fingerprint for file in [spec.pretrained, *files]}
    assert len(prints) == 1


def test_fingerprint_hangs_on_weights_architecture_and_precision(spec, tmp_path):
    state = golden_model().state_dict()
    state["visual.ln_post.bias"][0] += 1e-6
    other_weights = written(tmp_path / "other.pt", state)
    plain_gelu = tmp_path / "plain_gelu.json"
    plain_gelu.write_text(json.dumps(model_config() | {"quick_gelu": False}))
    specs = [spec, replace(spec, pretrained=other_weights), replace(spec, model=str(plain_gelu))]
    specs.append(replace(spec, precision="reference-fp16"))
    assert len({backbone.load(each).fingerprint for each in specs}) == 4


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.05), ("fp16", 0.006), ("reference-fp16", 0.006)])
def test_low_precision_stays_near(spec, precision, tolerance):
    loaded = backbone.load(replace(spec, precision=precision))
    features = loaded.encode_images(PIXELS)
    assert features.dtype == torch.float32
    assert loaded.model.visual.conv1.weight.dtype == (torch.float16 if precision == "reference-fp16" else torch.float32)
    assert 0 < (features - FEATURES).abs().max() < tolerance


def test_compact_weights_are_expanded(spec, tmp_path):
    state = golden_model().state_dict()
    ids = [320, 1125, 49406, 49407]
    tiny.save_compact(tmp_path / "w.safetensors", state | {tiny.TABLE: state[tiny.TABLE][ids]}, ids)
    loaded = backbone.load(replace(spec, pretrained=str(tmp_path / "w.safetensors")))
    torch.testing.assert_close(loaded.encode_images(PIXELS), FEATURES, rtol=0, atol=0.01)
    assert loaded.model.token_embedding.weight.any(1).nonzero()[:, 0].tolist() == ids


def test_tag_brings_its_preprocessing(spec, tmp_path, monkeypatch):
    facts = {"file": spec.pretrained, "mean": (0.5,) * 3, "std": (0.4,) * 3, "interpolation": "bilinear"}
    name = architecture.register(spec)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, name, {"mine": {**facts, "resize_mode": "squash"}})
    preprocessing = backbone.load(replace(spec, pretrained="mine")).preprocessing
    assert preprocessing.settings == {
        "size": 32, "mean": [0.5] * 3, "std": [0.4] * 3, "interpolation": "bilinear", "resize": "squash",
    }  # fmt: skip


def test_random_weights_are_seeded_and_named_once(spec, caplog):
    backbone._warn_random.cache_clear()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with caplog.at_level(logging.WARNING):
        first, second = (backbone.load(replace(spec, pretrained=None)) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert torch.equal(torch.get_rng_state(), before)
    assert [record.message for record in caplog.records] == [
        "backbone golden has `pretrained: null`: its random weights are only useful to measure speed"
    ]


def test_unknown_names_come_with_the_choices(spec):
    assert "unknown open_clip model 'ViT-B-17'" in refusal(spec, model="ViT-B-17")
    assert "Did you mean 'ViT-B-16'?" in refusal(spec, model="ViT-B-17")
    assert "Did you mean 'openai'?" in refusal(spec, model="ViT-B/16", pretrained="opnai")
    assert "golden_clip has no tags in open_clip" in refusal(spec, pretrained="openai")
    assert "unknown precision 'fp8'; known: fp32, bf16, fp16, reference-fp16" in refusal(spec, precision="fp8")
    wrong_way_round = refusal(spec, model="ViT-B-16-quickgelu", pretrained="laion400m_e32")
    assert wrong_way_round.endswith("This tag belongs to model ViT-B-16.")


def test_text_towers_of_other_tokenizers_are_known(spec):
    """Of open_clip's own models: each that names a Hugging Face tokenizer or text model, and no other."""
    configs = {name: open_clip.get_model_config(name)["text_cfg"] for name in architecture.BUILT_IN}
    foreign = {name for name, text in configs.items() if any(key.startswith("hf_") for key in text)}
    assert len(foreign) > 40 and len(configs) - len(foreign) > 80
    for name in configs:
        assert (architecture.foreign_tokenizer(name) is not None) == (name in foreign)
        assert architecture.register(replace(spec, model=name)) == name


def test_text_model_that_cannot_be_fetched_is_named(spec):
    message = refusal(spec, model="roberta-ViT-B-32", pretrained=None)
    assert message.startswith("backbone 'golden': open_clip cannot build roberta-ViT-B-32 (")


def test_activation_that_does_not_fit_the_weights_is_refused(spec):
    message = refusal(spec, model="ViT-B-16", pretrained="openai")
    assert message == (
        "backbone 'golden': tag 'openai' was trained with QuickGELU, which ViT-B-16 does not use; "
        "set model: ViT-B-16-quickgelu."
    )


def test_missing_files_are_named(spec, tmp_path):
    assert "pretrained: no/such.pt: no such file" in refusal(spec, pretrained="no/such.pt")
    assert "model: no/such.json: no such file" in refusal(spec, model="no/such.json")
    (tmp_path / "weights.h5").write_bytes(b"x")
    assert "a checkpoint must have the suffix .safetensors, .pt, .pth, .bin" in refusal(
        spec, pretrained=str(tmp_path / "weights.h5")
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("broken.json", "{", "not readable as JSON"),
        ("other.json", '{"embed_dim": 4}', "not an open_clip model config"),
        ("ViT-B-32.json", json.dumps(model_config()), "open_clip already has a model 'ViT-B-32'"),
        ("typo.json", json.dumps(model_config() | {"vision_cfg": {"wdth": 3}}), "open_clip cannot build"),
    ],
)
def test_invalid_model_config_is_reported(spec, tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    assert message in refusal(spec, model=str(tmp_path / name))


def test_failed_download_gives_advice(spec, monkeypatch):
    def offline(facts):
        raise FileNotFoundError("Failed to download file\nwith a long story")

    monkeypatch.setattr(open_clip, "download_pretrained", offline)
    message = refusal(spec, model="ViT-B-32-quickgelu", pretrained="openai")
    assert "cannot download tag 'openai' of ViT-B-32-quickgelu (Failed to download file)" in message
    assert "timm/vit_base_patch32_clip_224.openai or https://" in message
    assert message.endswith("set `pretrained` to its path and `preprocessing: openai`.")


@pytest.mark.parametrize("name", ["vit_b16", "vit_b32", "rn50", "rn101"])
def test_registered_backbones_exist_in_open_clip(name, monkeypatch):
    monkeypatch.setattr(open_clip, "download_pretrained", lambda facts: "weights")
    spec = Registry().backbone(name, "test")
    path, facts = architecture.weights(spec, architecture.register(spec))
    assert path.name == "weights"
    assert open_clip.get_model_config(spec.model).get("quick_gelu", False) == facts.get("quick_gelu", False)
