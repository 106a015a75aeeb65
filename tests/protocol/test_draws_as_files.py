"""Few-shot draws as files: exported, imported, and refused with one line where they do not fit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cocoop import draws, io, splits
from cocoop.cli import main
from cocoop.errors import UserError
from cocoop.manifest import Item, Manifest
from tests.protocol.benchmark import configured, draw_of, learned, made, plan, recorded, run

NAMES = ("cat", "dog", "fish")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The small benchmark with draws of its own, and these exported; its jobs and records."""
    folder = tmp_path_factory.mktemp("drawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        jobs = made(configured(folder))
        run("draws", "export", "--configfile", "mine.yaml", "--out", "draws")
        yield folder, jobs, recorded()


def test_the_round_trip_gives_the_same_images_and_numbers(finished, tmp_path, monkeypatch):
    folder, jobs, before = finished
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder / "data", "data", copy_function=shutil.copy2)
    shutil.copytree(folder / "draws", "theirs")
    again = made(configured(tmp_path, draws="theirs"))
    for seed in (1, 2):
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            drawn = draw_of(jobs, seed)
        read = draw_of(again, seed)
        assert [read[key] for key in ("train", "val", "labels")] == [drawn[key] for key in ("train", "val", "labels")]
    (tensors,) = learned(again, "coop")
    monkeypatch.chdir(folder)
    (expected,) = learned(jobs, "coop")
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    monkeypatch.chdir(tmp_path)
    after = recorded()
    assert set(after["draw"]) == {"", "imported draws"}
    assert after.drop(columns="draw").equals(before.drop(columns="draw"))


def test_the_exported_lines_are_those_of_the_manifest(finished, monkeypatch):
    folder, jobs, _ = finished
    monkeypatch.chdir(folder)
    lines = [json.loads(line) for line in Path("draws/digits/shots2_seed1.jsonl").read_text().splitlines()]
    (manifest,) = (Manifest.load(job.outputs["manifest"]) for job in jobs if job.stage.name == "manifest")
    drawn = draw_of(jobs, 1)
    expected = [manifest.splits[split][at] for split in ("train", "val") for at in drawn[split]]
    assert [(line["path"], line["label"]) for line in lines] == [tuple(item) for item in expected]
    assert {line["classname"] for line in lines} == set(manifest.classnames)
    about = json.loads(Path("draws/digits/shots2_seed1.json").read_text())
    assert (about["dataset"], about["shots"], about["seed"], about["subset"]) == ("digits", "2", 1, "all")
    assert about["sha256"] == io.sha256_file("draws/digits/shots2_seed1.jsonl")


def test_other_content_is_another_run(finished, tmp_path, monkeypatch):
    folder, *_ = finished
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder / "draws", "theirs")
    config = configured(tmp_path, draws="theirs")
    identities = {run.identity for run in plan(config).runs}
    file = Path("theirs/digits/shots2_seed1.jsonl")
    file.write_text(file.read_text().replace("\n", "\n\n"))
    assert not identities & {run.identity for run in plan(config).runs}


def test_without_a_manifest_export_says_what_to_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["draws", "export", "--configfile", str(configured(tmp_path)), "--out", "out"]) == 2
    assert "dataset 'digits' has not been listed yet" in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_missing_file_is_named_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "--configfile", str(configured(tmp_path, draws="theirs"))]) == 2
    assert "error: theirs/digits/shots2_seed1.jsonl: no such file" in capsys.readouterr().err


def manifest() -> Manifest:
    splits = {
        split: tuple(Item(f"{split}/{NAMES[label]}{number}.png", label) for label in range(3) for number in range(3))
        for split in ("train", "val", "test")
    }
    return Manifest("pets", NAMES, splits)


def line(split="train", name="cat", number=0, **changes) -> dict:
    return {
        "path": f"{split}/{name}{number}.png",
        "label": NAMES.index(name),
        "classname": name,
        "split": split,
    } | changes


ONE_EACH = [line(name=name) for name in NAMES]
WRONG = {
    "an unknown image": (line(number=7), "line 4: 'train/cat7.png' is no train image of dataset 'pets'"),
    "a test image": (line("test") | {"split": "train"}, "'test/cat0.png' is in the test split, not in train"),
    "a wrong class": (line(number=1, label=2, classname="fish"), "line 4: 'train/cat1.png' is of class 0 (cat), not 2"),
    "label and name": (line(number=1, classname="dog"), "line 4: label 0 is 'cat' in dataset 'pets', not 'dog'"),
    "a label too high": (line(number=1, label=3), "line 4: label 3 is none of the 3 classes"),
    "twice": (line(), "line 4: 'train/cat0.png' is also in line 1; an image can be drawn once"),
    "too many": (line(number=1), "class 'cat' has 2 train images, expected 1 (1 shots)"),
    "too few to select on": (line("val"), "class 'dog' has 0 val images, expected 1 (1 shots)"),
    "no split": (line(number=1, split="trian"), "line 4: split: 'trian' is not one of train, val"),
    "a missing key": ({"path": "train/cat1.png"}, "line 4: expected an object with path, label, classname, split"),
    "a label in quotes": (line(number=1, label="0"), "label: an integer"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_line_is_named_with_its_number(name, tmp_path, capsys):
    added, expected = WRONG[name]
    manifest().save(tmp_path / "manifest.json")
    file = tmp_path / "shots1_seed1.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in [*ONE_EACH, added]))
    words = ["--manifest", tmp_path / "manifest.json", "--shots", 1, "--seed", 1, "--drawn", file]
    assert main([*map(str, ["fewshot", *words, "--out", tmp_path / "out.json"])]) == 2
    said = capsys.readouterr().err
    assert expected in said and said.count("\n") == 1
    assert not (tmp_path / "out.json").exists()


def test_the_file_beside_a_draw_must_fit_it(tmp_path):
    file = draws.file_of(tmp_path, "pets", 1, 1)
    draws.write(file, manifest(), {"train": [0], "labels": [0], "val": [], "shots": 1, "seed": 1})
    assert draws.selection_from(file, manifest(), 1, 1)["train"] == [
        0
    ]  # one class of three, as the file beside it says
    with pytest.raises(Exception, match=r"describes pets, 1 shots, seed 1, but .* is to be pets, 1 shots, seed 2"):
        draws.read_beside(file, "pets", 1, 2)
    file.write_text(json.dumps(line(number=1)))
    with pytest.raises(Exception, match="was changed since shots1_seed1.json was written"):
        draws.selection_from(file, manifest(), 1, 1)


@pytest.mark.parametrize(
    "names",
    [("missile", "dog", "missile"), ("cat\u2028fish", "dog\x85", "fish\u2029\x0b")],
    ids=["a name twice", "line separators"],
)
def test_what_was_exported_is_read_whatever_the_names(names, tmp_path):
    file, of = draws.file_of(tmp_path, "pets", 2, 1), replace(manifest(), classnames=names)
    selection = splits.selection_of(of, 2, 1)
    draws.write(file, of, selection)
    read = draws.selection_from(file, of, 2, 1)
    assert {key: read[key] for key in ("train", "val", "labels")} == {
        key: selection[key] for key in ("train", "val", "labels")
    }


def test_each_class_of_a_name_has_its_shots_in_a_file_of_others(tmp_path):
    file, of = tmp_path / "shots1_seed1.jsonl", replace(manifest(), classnames=("missile", "dog", "missile"))
    both = line(classname="missile"), line(name="fish", classname="missile")
    file.write_text("".join(json.dumps(one) + "\n" for one in [*both, line(name="dog")]))
    assert draws.selection_from(file, of, 1, 1)["labels"] == [0, 2, 1]
    again = line(number=1, classname="missile")
    file.write_text("".join(json.dumps(one) + "\n" for one in [both[0], again, line(name="dog")]))
    with pytest.raises(UserError, match=r"class 'missile' has 2 train images, expected 1 \(1 shots\)"):
        draws.selection_from(file, of, 1, 1)
