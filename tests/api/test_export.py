"""Exported prompts: the same probabilities after loading, a card for the Hub, and refusals in one line."""

import json
import shutil
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import yaml

import cocoop
from cocoop import io
from cocoop.api import loading
from cocoop.errors import UserError
from tests.api.conftest import line_of


@pytest.fixture(scope="module")
def exported(prompt, tmp_path_factory) -> Path:
    return prompt.export(tmp_path_factory.mktemp("exported") / "mine", licence="mit")


@pytest.fixture
def copy(exported, tmp_path) -> Path:
    return shutil.copytree(exported, tmp_path / "copy")


def test_an_export_gives_the_same_probabilities(prompt, exported, digits):
    assert sorted(path.name for path in exported.iterdir()) == ["README.md", "prompt.safetensors", "settings.json"]
    again = cocoop.load(exported, device="cpu")
    assert again.recipe == prompt.recipe and again.results == prompt.results
    for subset in ("base", "new"):
        pictures, _, names = digits.of(subset, 30)
        found, expected = again.predict(pictures, names), prompt.predict(pictures, names)
        assert np.array_equal(found.probabilities, expected.probabilities)


@pytest.mark.parametrize("method", ["cocoop", "taskres", "tip_adapter"])
def test_other_methods_survive_an_export(method, digits, trained, tmp_path):
    ours = trained(method).prompt
    again = cocoop.load(ours.export(tmp_path), device="cpu")
    pictures, _, _ = digits.of("base", 10)
    assert np.array_equal(again.predict(pictures).probabilities, ours.predict(pictures).probabilities)


def test_an_export_is_byte_identical_when_repeated(prompt, exported, tmp_path):
    again = prompt.export(tmp_path, licence="mit")
    assert all((again / path.name).read_bytes() == path.read_bytes() for path in exported.iterdir())


def test_the_card_states_what_the_hub_asks_for(prompt, exported):
    card = huggingface_hub.ModelCard.load(exported / "README.md")
    assert card.data.license == "mit" and card.data.library_name == "cocoop"
    [result] = card.data.eval_results
    assert (result.dataset_type, result.metric_type) == ("digits", "accuracy")
    assert result.metric_value == pytest.approx(prompt.results[0]["accuracy"], abs=1e-6)
    for text in (
        "open_clip cocoop/assets/tiny_clip/tiny_clip.json",
        "CC BY 4.0",
        "4 images per class, seed 1",
        "digit zero, digit one",
    ):
        assert text in card.text, text
    assert yaml.safe_load(card.content.split("---")[1])["pipeline_tag"] == "zero-shot-image-classification"


def test_a_name_of_the_hub_is_downloaded(exported, prompt, digits, monkeypatch):
    asked = []

    def snapshot_download(name, allow_patterns):
        asked.append((name, *allow_patterns))
        return str(exported)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    found = cocoop.load("someone/prompt", device="cpu")
    pictures, _, _ = digits.of("base", 5)
    assert asked == [("someone/prompt", "settings.json", "prompt.safetensors")]
    assert np.array_equal(found.predict(pictures).probabilities, prompt.predict(pictures).probabilities)


def test_the_hub_out_of_reach_is_one_line():
    with pytest.raises(UserError) as error:
        cocoop.load("someone/no-such-prompt")
    assert line_of(error).startswith("someone/no-such-prompt: no such folder here, and not available")


def changed(folder: Path, **values) -> Path:
    """The settings with other values in their recipe, with a checksum that fits; the tensors are told, too."""
    content = io.read_json(folder / loading.SETTINGS, loading.KIND)
    content["recipe"] |= values
    io.write_json(folder / loading.SETTINGS, content)
    tensors, metadata = io.read_tensors(folder / loading.TENSORS, loading.KIND)
    io.write_tensors(folder / loading.TENSORS, tensors, metadata | {"recipe": io.identity(content["recipe"])})
    return folder


REFUSED = {
    "a class that is not ours": ({"implementation": "subprocess:Popen"}, "which is not installed here"),
    "a class that is no method": ({"implementation": "cocoop.methods.base:ABC"}, "is not a method"),
    "other weights": ({"fingerprint": "0" * 64}, "was learned with other weights"),
    "another number of vectors": ({"params": {"n_ctx": 5, "ctx_init": None, "class_token_position": "end", "csc": False}},
                                  "learned tensor seed1.ctx has shape (4, 128), expected (5, 128)"),
    "an unknown parameter": ({"params": {"shell": True}}, "CoOp takes no shell"),
    "a wrong type": ({"seed": "one"}, "settings.json: seed:"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_settings_that_do_not_fit_are_refused(kind, copy):
    values, message = REFUSED[kind]
    with pytest.raises(UserError) as error:
        cocoop.load(changed(copy, **values), device="cpu")
    assert message in line_of(error)


def test_damaged_and_mixed_files_are_refused(copy, digits, tmp_path):
    settings = copy / loading.SETTINGS
    text = settings.read_text()
    settings.write_text(text.replace('"coop"', '"cocoop"'))
    with pytest.raises(UserError, match="not a valid prompt file"):
        cocoop.load(copy)
    content = json.loads(text) | {"recipe": json.loads(text)["recipe"] | {"seed": 2}}
    io.write_json(settings, content)
    with pytest.raises(UserError, match="does not belong to"):
        cocoop.load(copy)
    (copy / loading.TENSORS).unlink()
    with pytest.raises(UserError, match="no such prompt file"):
        cocoop.load(copy)


def test_what_cannot_be_exported_is_refused(prompt, run_folder, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    for folder in (run_folder, tmp_path, tmp_path / "README.md"):
        with pytest.raises(UserError, match="exists and is no exported prompt; export into a new folder"):
            prompt.export(folder)
    (tmp_path / "README.md").unlink()
    with pytest.raises(UserError, match="nothing was learned"):
        cocoop.zero_shot("tiny", device="cpu").export(tmp_path)
    with pytest.raises(UserError, match="layout 'theirs': expected one of ours, official"):
        prompt.export(tmp_path, layout="theirs")
    assert not list(tmp_path.iterdir())


def test_the_precision_of_the_training_is_kept(copy):
    recipe = io.read_json(copy / loading.SETTINGS, loading.KIND)["recipe"]
    half = changed(copy, backbone=recipe["backbone"] | {"precision": "fp16"})
    found = cocoop.load(half, device="cpu")
    assert found.towers.image.spec.precision == "fp32" and found.recipe.backbone.precision == "fp16"
    with pytest.raises(UserError, match="precision 'fp8': expected one of"):
        cocoop.load(half, device="cpu", precision="fp8")
