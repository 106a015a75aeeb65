"""What metrics.json says to its reader besides numbers: remarks of the manifests, and classes with the same text feature."""

import json
from dataclasses import replace

import pytest

from cocoop import io
from cocoop.cli import main
from cocoop.config import Registry, prompts
from cocoop.manifest import Item, Manifest
from tests.reference import golden_images
from tests.runs import evaluation_of, run_of

CLOTHES = ("Shirt", "Pullover", "Coat", "red circle")  # the bundled tiny CLIP knows the last only
SHAPES = ("red circle", "blue square")


def dataset(folder, name, classnames, notes):
    """Two pictures of each class in each split; the manifest beside them."""
    splits = {}
    for split in ("train", "val", "test"):
        splits[split] = tuple(Item(f"{split}{i}.png", i // 2) for i in range(2 * len(classnames)))
        for item, picture in zip(splits[split], golden_images() * 2, strict=False):
            (folder / name).mkdir(parents=True, exist_ok=True)
            picture.save(folder / name / item.path)
    Manifest(name, classnames, splits, notes).save(folder / f"{name}.json")


def run(*words):
    assert main([*map(str, words)]) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tower of the bundled tiny CLIP, and two datasets with their test features."""
    folder = tmp_path_factory.mktemp("notes")
    dataset(folder, "fashion", CLOTHES, ("leakage: 2 images",))
    dataset(folder, "shapes", SHAPES, ("not the paper's split",))
    backbone = Registry().backbone("tiny", "test").settings
    run("text-tower", "--backbone", json.dumps(backbone), "--out", folder / "tower.safetensors")
    for name in ("fashion", "shapes"):
        run("features", "--backbone", json.dumps(backbone), *images(folder, name),
            "--out", folder / f"{name}.safetensors")  # fmt: skip
    return folder


def images(folder, name):
    return "--manifest", folder / f"{name}.json", "--root", folder / name


def trained_on(dataset, variant):
    training = Registry().variant(variant, "test").training
    changes = {"training": replace(training, epochs=1, batch_size=4), "views": 1, "seeds": (1,)} if training else {}
    return run_of(variant, backbone=Registry().backbone("tiny", "test"), dataset=dataset, **changes)


def notes_of(folder, of, target, *options):
    out = folder / f"{of.variant} on {target}"
    run("evaluate", "--evaluation", evaluation_of(of, "all", target=target).to_json(),
        "--text-tower", folder / "tower.safetensors", "--features", folder / f"{target}.safetensors",
        "--manifest", folder / f"{target}.json", *options, "--out", out)  # fmt: skip
    return io.read_json(out / "metrics.json", "metrics")["notes"]


def test_classes_with_the_same_text_feature_are_noted(folder, caplog):
    same = (
        "the backbone tiny gives 3 of 4 classes of fashion the same text feature as another class "
        "(Shirt = Pullover = Coat): zero-shot, it cannot tell them apart, so results on them mean little"
    )
    assert notes_of(folder, trained_on("fashion", "clip"), "fashion") == ["fashion: leakage: 2 images", same]
    assert same in [record.message for record in caplog.records]


def test_classes_that_differ_give_no_note(folder):
    assert notes_of(folder, trained_on("shapes", "clip"), "shapes") == ["shapes: not the paper's split"]


def test_an_ensemble_of_general_templates_is_noted(folder):
    general = prompts.general("a photo of a {}.")
    note = "shapes: has no `ensemble:`, so an ensemble there averages its template and 7 general ones, as in the CoOp authors' code"
    of = trained_on("shapes", "clip_ensemble")
    assert notes_of(folder, replace(of, templates=general), "shapes") == [note, "shapes: not the paper's split"]
    own = replace(of, templates=("a {}.", "the {}."))
    assert notes_of(folder, own, "shapes") == ["shapes: not the paper's split"]


def test_notes_of_the_dataset_trained_on_are_kept(folder):
    of = trained_on("fashion", "coop")
    run("fewshot", "--manifest", folder / "fashion.json", "--shots", 1, "--seed", 1, "--out", folder / "draw.json")
    run("views", "--backbone", json.dumps(of.backbone.settings), *images(folder, "fashion"), "--subset", "all",
        "--epochs", 0, 1, "--fewshot", folder / "draw.json", "--out", folder / "views.safetensors")  # fmt: skip
    run("train", "--run", of.to_json(), "--text-tower", folder / "tower.safetensors", "--views",
        folder / "views.safetensors", "--out", folder / "run")  # fmt: skip
    found = notes_of(folder, of, "shapes", "--learned", folder / "run/learned.safetensors")
    assert found == ["fashion: leakage: 2 images", "shapes: not the paper's split"]
