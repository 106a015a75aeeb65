"""A split file that comes after the dataset was read, or goes again: Snakemake reads the dataset anew, once."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from cocoop import io
from cocoop.config.specs import DatasetSpec
from cocoop.planning.stages import MANIFEST as MANIFEST_STAGE
from tests.data.builders import lay_out, picture
from tests.test_workflow import REPOSITORY, planned, snakemake

SPLIT = {"train": 0.5, "val": 0.2, "test": 0.3, "seed": 1}
IMAGES = {f"images/{name}/{n}.jpg": picture(n + 100 * label) for label, name in enumerate("abcd") for n in range(10)}
ROWS = {
    split: [[f"{name}/{n}.jpg", label, f"class {name}"] for label, name in enumerate("abcd") for n in numbers]
    for split, numbers in {"train": range(3, 10), "val": (), "test": range(3)}.items()
}
SETTINGS = {
    "title": "Birds",
    "template": "a photo of a {}.",
    "download": [
        {"file": "images.zip", "sources": ["https://example.org/images.zip"], "gives": ["images"], "extract": {}},
        {"file": "split.json", "sources": ["https://example.org/split.json"], "optional": True},
    ],
    "reader": {"kind": "coop_split", "file": "split.json", "images": "images"},
    "fallback_reader": {"kind": "image_folder", "images": "images", "split": SPLIT},
}
MANIFEST = MANIFEST_STAGE.outputs["manifest"].format(dataset="birds", id=DatasetSpec("birds", SETTINGS).data)


@pytest.fixture
def folder(tmp_path) -> Path:
    """The code, a configuration of one experiment on a dataset that lacks its split file, and the dataset."""
    for name in ("cocoop", "config", "workflow"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "environment.yml", tmp_path)
    lay_out(IMAGES, tmp_path / "data/birds")
    (tmp_path / "config/datasets/birds.yaml").write_text(yaml.safe_dump(SETTINGS))
    experiment = {"base_to_new": {"train_datasets": ["birds"], "variants": ["clip"]}}
    config = io.read_yaml(REPOSITORY / "config/config.yaml") | {
        "experiments": experiment,
        "variants": {},
        "offline": True,
    }
    (tmp_path / "config/config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def jobs(folder: Path) -> dict[str, int]:
    """What a dry run of the manifest would run."""
    said = snakemake("-n", "--cores", "1", MANIFEST, folder=folder)
    return {} if "Nothing to be done" in said.stdout + said.stderr else planned(said.stdout + "\n")


def made(folder: Path) -> dict:
    snakemake("--cores", "1", MANIFEST, folder=folder)
    assert jobs(folder) == {}, "a second run does nothing"
    return io.read_json(folder / MANIFEST, "manifest")


@pytest.mark.slow
def test_a_split_file_that_comes_late_and_goes_again(folder):
    both = {"download": 1, "manifest": 1, "total": 2}
    built = made(folder)
    assert any(note.startswith("not the paper's split: split.json is missing") for note in built["notes"])

    (folder / "data/birds/split.json").write_text(json.dumps(ROWS))
    assert jobs(folder) == both
    official = made(folder)
    assert official["classnames"] == ["class a", "class b", "class c", "class d"]
    assert not any("not the paper's split" in note for note in official["notes"])

    (folder / "data/birds/split.json").unlink()
    assert jobs(folder) == both
