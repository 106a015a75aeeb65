"""Few-shot draws and class halves, image for image those of the reference."""

import json
import os
import re
from pathlib import Path

import pytest

from cocoop import io
from cocoop.config.specs import DatasetSpec
from cocoop.data.prepare import listing_of
from cocoop.data.readers.coop_split import content_sha256
from cocoop.data.verify import verify
from cocoop.errors import UserError
from cocoop.manifest import Item
from cocoop.splits import class_subset, few_shot
from tests.data.tiny import shipped

GOLDENS = Path(__file__).parents[1] / "goldens"
FEW_SHOT = json.loads((GOLDENS / "few_shot.json").read_text())
FINGERPRINTS = json.loads((GOLDENS / "fewshot_fingerprints.json").read_text())["draws"]
SPLITS = os.environ.get("COCOOP_SPLITS", "")
needs_splits = pytest.mark.skipif(not SPLITS, reason="COCOOP_SPLITS: no folder with the official split files given")


def items(listing):
    return [Item(path, label) for path, label, _ in listing]


@pytest.mark.parametrize("key", FEW_SHOT["selections"])
def test_draw_is_the_references(key):
    seed, shots = map(int, re.fullmatch(r"seed(\d+)_shots(\d+)", key).groups())
    expected = FEW_SHOT["selections"][key]
    train, val = few_shot(items(FEW_SHOT["train"]), items(FEW_SHOT["val"]), shots, seed)
    assert [item.path for item in train] == expected["train"]
    assert [item.path for item in val] == expected["val"]
    for subset in ("base", "new"):
        labels = class_subset([item.label for item in items(FEW_SHOT["train"])], subset)
        for split, drawn in (("train", train), ("val", val)):
            half = [[item.path, labels.index(item.label)] for item in drawn if item.label in labels]
            assert half == [entry[:2] for entry in expected[subset][split]]


@needs_splits
@pytest.mark.parametrize("name", FINGERPRINTS)
def test_official_files_give_the_references_draws(name, tmp_path):
    spec = official(name, tmp_path)
    prefix = spec.settings["reader"]["images"] + "/"
    listing = listing_of(spec, tmp_path / spec.folder)
    for key, expected in FINGERPRINTS[name].items():
        shots, seed = map(int, re.fullmatch(r"shots(\d+)_seed(\d+)", key).groups())
        train, val = few_shot(listing.splits["train"], listing.splits["val"], shots, seed)
        for split, drawn in (("train", train), ("val", val)):
            paths = [item.path.removeprefix(prefix) for item in drawn]
            assert len(paths) == expected[f"n_{split}"]
            assert io.sha256_text("\n".join(paths)) == expected[f"{split}_sha256"], (name, key, split)


@needs_splits
@pytest.mark.parametrize("name", FINGERPRINTS)
def test_official_files_pass_every_check_but_the_images(name, tmp_path):
    spec = official(name, tmp_path)
    with pytest.raises(UserError, match=r"of \d+ images are missing"):
        verify(spec, tmp_path / spec.folder, listing_of(spec, tmp_path / spec.folder))


@needs_splits
def test_content_counts_not_bytes(tmp_path):
    """A public copy of Caltech101's file ends in a line feed, and is still the paper's."""
    spec = official("caltech101", tmp_path)
    path = tmp_path / spec.folder / spec.settings["reader"]["file"]
    path.write_text(path.read_text() + "\n")
    assert len(listing_of(spec, tmp_path / spec.folder).classnames) == 100
    content = json.loads(path.read_text())
    content["train"][0][0] = "Faces/image_0001.jpg"
    path.write_text(json.dumps(content))
    digest = content_sha256(content)
    with pytest.raises(
        UserError, match=f"not the paper's split file \\(sha256 of its content {digest}, expected 266b016a"
    ):
        listing_of(spec, tmp_path / spec.folder)


def official(name, data_root) -> DatasetSpec:
    spec = DatasetSpec(name, shipped(name))
    file = spec.settings["reader"]["file"]
    (data_root / spec.folder).mkdir()
    (data_root / spec.folder / file).write_bytes((Path(SPLITS) / file).read_bytes())
    return spec
