"""`train` as documented, and what it says about a folder of pictures."""

import ast
import inspect
import logging
import re
from pathlib import Path

import pytest
from PIL import Image

import cocoop
from cocoop import io
from cocoop.data.new import write_yaml
from cocoop.errors import UserError
from tests.api.conftest import train

SHORT = {"shots": 1, "backbone": "tiny", "device": "cpu", "training": {"epochs": 1}}


def lay_out(folder: Path, *classes: str, number: int = 6) -> Path:
    for shade, name in enumerate(classes):
        for i in range(number):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (60 * shade, 30 * i, 90)).save(folder / name / f"{i}.png")
    return folder


def test_the_params_of_the_documentation_work(digits, tmp_path):
    pages = (io.REPOSITORY / "docs/python.md").read_text(), inspect.getdoc(cocoop.train)
    found = [ast.literal_eval(text) for page in pages for text in re.findall(r'\{"n_ctx"[^}]*\}', page)]
    assert len(found) == 2 and found[0] == found[1]
    learned = train(digits, tmp_path, "coop", shots=1, params=found[0], training={"epochs": 1})
    assert len(learned.tensors["ctx"]) == found[0]["n_ctx"]


def test_what_is_left_out_is_a_warning(tmp_path, caplog, capsys):
    folder = lay_out(tmp_path / "shapes", "cat", "dog")
    Image.new("RGB", (8, 8)).save(folder / "single.png")
    with caplog.at_level(logging.WARNING, logger="cocoop"):
        cocoop.train(folder, **SHORT)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("cocoop.api.")]
    assert said[0] == "dataset 'shapes': left out: 1 image beside the folders: single.png"
    assert any("with 2 classes each half" in text for text in said)
    assert len(set(said)) == len(said)  # although the manifest has the same notes
    assert "dataset 'shapes'" not in capsys.readouterr().err


def test_notes_on_a_named_dataset_are_warnings(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    write_yaml(lay_out(tmp_path / "pictures", "cat", "dog"), "shapes")
    with caplog.at_level(logging.WARNING, logger="cocoop"):
        cocoop.train("shapes", **SHORT)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("cocoop.api.")]
    assert said[0].startswith("dataset 'shapes': with 2 classes each half") and len(set(said)) == len(said)


def test_a_class_train_beside_other_classes_is_not_taken_for_a_split(tmp_path):
    folder = lay_out(tmp_path / "vehicles", "bus", "car", "train/steam", "train/diesel")
    with pytest.raises(UserError, match="cannot tell whether train holds the training images, or is a class like bus"):
        cocoop.train(folder, **SHORT)


@pytest.mark.parametrize("key", ["pictures", "out", "data_root"])
def test_an_unknown_home_is_named(key, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = SHORT | {"pictures": "digits", "data_root": digits.data_root} | {key: "~unknown/folder"}
    with pytest.raises(UserError, match="^~unknown/folder: no such file or folder, and no home folder '~unknown' eit"):
        cocoop.train(**settings)
    assert not list(tmp_path.iterdir())
