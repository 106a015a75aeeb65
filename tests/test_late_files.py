"""A split file that comes after the dataset was read, or goes again: everything that depends on it is made anew, once."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from cocoop import io
from cocoop.config.specs import DatasetSpec
from cocoop.planning import stages
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
BIRDS = DatasetSpec("birds", SETTINGS)
MANIFEST = stages.MANIFEST.outputs["manifest"].format(dataset="birds", id=BIRDS.data)
STAMP = stages.DOWNLOAD.outputs["stamp"].format(data_root="data", dataset="birds", id=BIRDS.source, again=".3")


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


LATER = ("download", "manifest", "features", "evaluate", "collect", "tables", "paired", "figures", "page", "all")
WARNING = "not the paper's split: split.json is missing"


def jobs(folder: Path) -> dict[str, int]:
    """What a dry run would run."""
    said = snakemake("-n", "--cores", "1", folder=folder)
    return {} if "Nothing to be done" in said.stdout + said.stderr else planned(said.stdout + "\n")


def planned_again(*rules: str) -> dict[str, int]:
    return dict.fromkeys(rules, 1) | {"total": len(rules)}


def forget(folder: Path) -> None:
    """Deletes all that Snakemake knows about earlier runs."""
    shutil.rmtree(folder / ".snakemake")


def made(folder: Path) -> str:
    """Runs everything; the notes below the table. A second run would do nothing, with Snakemake's records and without."""
    snakemake("--cores", "1", folder=folder)
    assert jobs(folder) == {}
    forget(folder)
    assert jobs(folder) == {}
    return (folder / "results/experiments/base_to_new/tables/table.md").read_text()


@pytest.mark.slow
def test_a_split_file_that_comes_late_and_goes_again(folder, tmp_path_factory):
    """Whether or not Snakemake remembers the runs before."""
    split = folder / "data/birds/split.json"
    all_again, but_the_download = planned_again(*LATER), planned_again(*LATER[1:])
    assert WARNING in made(folder)

    split.write_text(json.dumps(ROWS))
    assert jobs(folder) == all_again
    assert WARNING not in made(folder)
    assert io.read_json(folder / MANIFEST, "manifest")["classnames"] == ["class a", "class b", "class c", "class d"]
    copy = tmp_path_factory.mktemp("copy") / "here"
    shutil.copytree(folder, copy)
    assert jobs(copy) == {}, "a copy is as finished"

    split.unlink()
    assert jobs(folder) == all_again
    snakemake("--cores", "1", STAMP, folder=folder)  # as another clone that shares the folder data
    forget(folder)
    assert jobs(folder) == but_the_download, (
        "the files are those of the first time, but what was made from them is gone"
    )

    (copy / MANIFEST).unlink()
    assert jobs(copy) == but_the_download
