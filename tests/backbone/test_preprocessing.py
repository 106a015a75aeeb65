"""The same weights get the same pixels, named by tag or by path, for every tag that open_clip has."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import yaml
from open_clip.transform import PreprocessCfg, image_transform_v2

from cocoop import io
from cocoop.backbone import model as backbone
from cocoop.backbone.preprocessing import KEYS, resolve
from cocoop.backbone.transforms import Preprocessing
from cocoop.cli import main
from cocoop.config import Registry
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError
from tests.images.pictures import dataset, refusal, save_golden
from tests.reference import golden_images, model_config

TAGS = open_clip.list_pretrained()
DIFFER = {"ViT-L-14", "ViT-H-14", "ViT-H-14-quickgelu"}  # models with tags of different preprocessing
SIGLIP = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "resize_mode": "squash"}


def published(model, tag):
    facts = open_clip.get_pretrained_cfg(model, tag)
    return {key: facts[key] for key in KEYS}


def by_path(model, preprocessing=None, path=Path("weights.pt")):
    spec = BackboneSpec("mine", "mine", model, str(path), preprocessing=preprocessing)
    return comparable(resolve(spec, model, path, {}))


def comparable(found):
    return {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}


def test_every_tag_has_the_same_values_by_path():
    assert len(TAGS) > 190
    for model, tag in TAGS:
        expected = comparable(published(model, tag))
        spec = BackboneSpec("mine", "mine", model, tag)
        assert comparable(resolve(spec, model, Path("cached"), open_clip.get_pretrained_cfg(model, tag))) == expected
        assert by_path(model, tag) == expected
        assert by_path(model, {key: list(v) if isinstance(v, tuple) else v for key, v in expected.items()}) == expected


def test_a_path_alone_has_its_models_values_or_stops():
    stopped = set()
    for model, tag in TAGS:
        try:
            assert by_path(model) == comparable(published(model, tag))
        except UserError as error:
            assert f"the tags of {model} differ" in str(error)
            stopped.add(model)
    assert stopped == DIFFER


def test_every_preprocessing_gives_open_clips_pixels():
    distinct = {json.dumps(published(*pair)) for pair in TAGS}
    assert len(distinct) > 5
    for values in map(json.loads, distinct):
        theirs = image_transform_v2(PreprocessCfg(size=32, **values), is_train=False)
        ours = Preprocessing(
            32, tuple(values["mean"]), tuple(values["std"]), values["interpolation"], values["resize_mode"]
        )
        for image in golden_images():
            assert torch.equal(ours.normalise(torch.from_numpy(ours.test(image))), theirs(image)), values


def test_tags_that_differ_stop_with_the_choices():
    with pytest.raises(UserError) as error:
        by_path("ViT-L-14")
    assert str(error.value) == (
        "backbone 'mine': pretrained is a path, but the tags of ViT-L-14 differ in their preprocessing; set `preprocessing: "
        "TAG` to the tag of these weights, or set mean, std, interpolation, resize_mode under `preprocessing`. Tags: openai, "
        "laion400m_e31, laion400m_e32, datacomp_xl_s13b_b90k (+7 more) (mean 0.481/0.458/0.408, std 0.269/0.261/0.276, "
        "interpolation bicubic, resize_mode shortest); laion2b_s32b_b82k (mean 0.5/0.5/0.5, std 0.5/0.5/0.5, interpolation "
        "bicubic, resize_mode shortest)."
    )


def test_keys_about_which_tags_differ_are_enough():
    half = {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert by_path("ViT-L-14", half) == comparable(published("ViT-L-14", "laion2b_s32b_b82k"))


def test_keys_win_over_the_tag(tmp_path, monkeypatch):
    spec = save_golden(tmp_path)
    facts = {"file": spec.pretrained, **SIGLIP}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "golden_clip", {"mine": facts})
    tagged = replace(spec, pretrained="mine", preprocessing={"interpolation": "bicubic", "mean": [0, 0, 1]})
    assert backbone.load(tagged).preprocessing.settings == {
        "size": 32, "mean": [0.0, 0.0, 1.0], "std": [0.5] * 3, "interpolation": "bicubic", "resize": "squash",
    }  # fmt: skip


def test_other_pixels_are_another_fingerprint(tmp_path):
    """So that features made of other pixels do not fit a run's text tower."""
    spec = save_golden(tmp_path)
    specs = [spec, replace(spec, preprocessing=SIGLIP), replace(spec, preprocessing={"interpolation": "bicubic"})]
    first, second, third = (backbone.load(each).fingerprint for each in specs)
    assert first == third != second


def test_config_next_to_the_weights_is_used(tmp_path):
    spec = save_golden(tmp_path)
    content = {"model_cfg": model_config(), "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))
    found = backbone.load(spec).preprocessing
    assert (found.mean, found.std, found.interpolation, found.resize) == ((0.5,) * 3, (0.5,) * 3, "bicubic", "shortest")
    assert backbone.load(replace(spec, preprocessing=SIGLIP)).preprocessing.resize == "squash"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected open_clip's config with `preprocess_cfg` (JSONDecodeError"),
        ("[]", "expected open_clip's config with `preprocess_cfg` (TypeError"),
        ('{"model_cfg": {}}', "expected open_clip's config with `preprocess_cfg` (KeyError"),
        ('{"preprocess_cfg": {"resize_mode": "longest"}}', "preprocess_cfg: resize_mode: 'longest' is not one of"),
        ('{"preprocess_cfg": {"mean": [123, 117, 104]}}', "preprocess_cfg: mean.0: 123 is greater than the maximum of 1"),
        ('{"preprocess_cfg": {}, "model_cfg": {}}', "describes a model without QuickGELU, but golden_clip is a model with it"),
    ],
)  # fmt: skip
def test_unusable_config_next_to_weights_is_reported(tmp_path, content, message):
    spec = save_golden(tmp_path)
    (tmp_path / "open_clip_config.json").write_text(content)
    found = refusal(spec)
    assert found.startswith(f"{tmp_path / 'open_clip_config.json'}: ") and message in found


def test_unknown_tags_and_activations_are_refused(tmp_path):
    spec = save_golden(tmp_path)
    assert "golden_clip has no tags in open_clip; write mean, std, interpolation, resize_mode instead of 'openai'." in (
        refusal(spec, preprocessing="openai")
    )
    assert "preprocessing: unknown ViT-B-32 tag 'opnai'" in refusal(spec, model="ViT-B-32", preprocessing="opnai")
    assert "set model: ViT-B-32-quickgelu" in refusal(spec, model="ViT-B-32", preprocessing="openai")


def test_yaml_keys_reach_the_features_and_the_settings(tmp_path, monkeypatch):
    """From the backbone's file to the pixels, as a user writes it; another value is another setting."""
    monkeypatch.setenv("COCOOP_DEVICE", "cpu")
    golden = save_golden(tmp_path)
    manifest = dataset(tmp_path)
    manifest.save(tmp_path / "manifest.json")
    (tmp_path / "backbones").mkdir()
    settings, stored = {}, {}
    for name, keys in (("plain", {}), ("siglip", {"preprocessing": SIGLIP})):
        content = {"label": "x", "model": golden.model, "pretrained": golden.pretrained, **keys}
        (tmp_path / "backbones/golden.yaml").write_text(yaml.safe_dump(content))
        settings[name] = Registry(tmp_path).backbone("golden", "test").settings
        out = tmp_path / f"{name}.safetensors"
        words = ["--backbone", json.dumps(settings[name]), "--manifest", tmp_path / "manifest.json"]
        assert main(["features", *map(str, [*words, "--root", tmp_path, "--out", out])]) == 0
        stored[name] = io.read_tensors(out, "features")
    assert settings["plain"] != settings["siglip"]
    assert stored["siglip"][1]["preprocessing"] == {"size": 32, "resize": "squash"} | {
        key: SIGLIP[key] for key in ("mean", "std", "interpolation")
    }
    difference = stored["plain"][0]["features"] - stored["siglip"][0]["features"]
    assert np.abs(difference.numpy()).max() > 0.01


def test_misspelt_settings_are_refused_by_the_stage(tmp_path, capsys):
    content = {"name": "x", "model": "ViT-B-32", "pretrained": None, "precision": "fp32", "preprocessing": {"men": 1}}
    assert main(["text-tower", "--backbone", json.dumps(content), "--out", str(tmp_path / "x")]) == 2
    assert "preprocessing: unknown key 'men'; known: mean, std, interpolation, resize_mode. Did you mean 'mean'?" in (
        capsys.readouterr().err
    )
