"""Each of the paper's fifteen datasets in its real layout: download, manifest, few-shot draw."""

import json
from dataclasses import replace

import pytest

from cocoop import io, splits
from cocoop.data import prepare
from cocoop.data.images import open_rgb
from cocoop.manifest import Manifest
from tests.data.tiny import FALLBACK_SIZES, SIZES, resized, shipped, tiny_spec

NAMES = {
    "imagenet": ("tench", "goldfish", "great white shark", "tiger shark"),
    "caltech101": ("face", "leopard", "motorbike", "accordion", "airplane"),
    "oxford_pets": ("abyssinian", "american_bulldog", "bengal"),
    "stanford_cars": ("2000 AM General Hummer SUV", "2012 Ram C/V Cargo Van Minivan", "2012 Audi TTS Coupe"),
    "flowers102": ("pink primrose", "hard-leaved pocket orchid", "canterbury bells"),
    "food101": ("apple_pie", "baby_back_ribs", "waffles"),
    "fgvc_aircraft": ("707-320", "F/A-18", "Boeing 717 X"),
    "sun397": ("abbey", "outdoor apartment_building", "zen_garden"),
    "dtd": ("banded", "blotchy", "zigzagged"),
    "eurosat": (
        "Annual Crop Land", "Forest", "Herbaceous Vegetation Land", "Highway or Road", "Industrial Buildings", "Pasture Land",
        "Permanent Crop Land", "Residential Buildings", "River", "Sea or Lake",
    ),
    "ucf101": ("Apply_Eye_Makeup", "Handstand_Pushups", "Yo_Yo"),
    "imagenetv2": ("tench", "goldfish", "great white shark", "tiger shark", *(f"class {n}" for n in range(8))),
    "imagenet_sketch": ("tench", "goldfish", "great white shark", "tiger shark"),
    "imagenet_a": ("goldfish", "great white shark", "tiger shark"),
    "imagenet_r": ("tench", "goldfish", "great white shark"),
}  # fmt: skip
WITH_FALLBACK = [name for name in SIZES if "fallback_reader" in shipped(name)]


@pytest.mark.parametrize("name", SIZES)
def test_from_download_to_few_shot(name, tiny_dataset, tmp_path):
    spec, data_root = tiny_dataset(name)
    prepare.manifest(spec, data_root, tmp_path / "manifest.json")
    manifest = Manifest.load(tmp_path / "manifest.json")
    assert manifest.classnames == NAMES[name]
    assert {split: len(items) or None for split, items in manifest.splits.items()} == spec.sizes
    paths = [item.path for items in manifest.splits.values() for item in items]
    assert len(set(paths)) == len(paths)
    assert open_rgb(data_root / spec.folder / paths[-1]).size == (32, 32)
    assert not any("not the paper's split" in note for note in manifest.notes)
    if spec.test_only:
        return
    splits.save_few_shot(tmp_path / "fewshot.json", manifest, shots=2, seed=1)
    chosen = splits.load_few_shot(tmp_path / "fewshot.json")
    assert sorted(chosen["labels"]) == sorted([*range(len(manifest.classnames))] * 2)


@pytest.mark.parametrize("name", WITH_FALLBACK)
def test_split_is_built_from_annotations_without_split_file(name, server, tmp_path, capsys):
    spec = tiny_spec(name, server, tmp_path / "data")
    settings = resized(dict(spec.settings), FALLBACK_SIZES.get(name, SIZES[name]))
    split_file = settings["reader"]["file"]
    for file in settings["download"]:
        if file["file"] == split_file:
            file["sources"] = [f"{server.url}/gone/{split_file}"]
    spec = replace(spec, settings=settings)
    prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
    failure = f"{split_file}: could not be downloaded; from {server.url}/gone/{split_file}: HTTP 404 Not Found."
    assert io.read_json(tmp_path / "source.json", "source")["notes"] == [failure]
    assert failure in capsys.readouterr().err
    first = prepare.manifest(spec, tmp_path / "data", tmp_path / "one.json")
    prepare.manifest(spec, tmp_path / "data", tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert first.classnames == NAMES[name]
    assert sum(f"not the paper's split: {split_file} is missing" in note for note in first.notes) == 1


@pytest.mark.parametrize("name", SIZES)
def test_source_record_lists_the_source_of_each_file(name, tiny_dataset, tmp_path, server):
    spec, data_root = tiny_dataset(name)
    before = len(server.log)
    prepare.download(spec, data_root, tmp_path / "source.json", offline=True)
    assert len(server.log) == before, "a complete dataset is not fetched again"
    record = io.read_json(tmp_path / "source.json", "source")
    if name == "imagenet":
        assert record["files"] == [{"linked": spec.settings["link"]}]
        return
    expected = {
        f["file"]: (f["sources"][0], f["sha256"], f["bytes"])
        for f in spec.settings["download"]
        if not f.get("fallback")
    }
    got = {f["file"]: (f["url"], f["file_sha256"], f["bytes"]) for f in record["files"]}
    assert got == expected and all(f["verified"] for f in record["files"])


def test_labels_of_imagenetv2_are_folder_numbers_not_ranks(tiny_dataset, tmp_path):
    manifest = prepare.manifest(*tiny_dataset("imagenetv2"), tmp_path / "m.json")
    assert all(int(item.path.split("/")[-2]) == item.label for item in manifest.splits["test"])


def test_cars_draw_in_order_of_first_appearance(tiny_dataset):
    spec, data_root = tiny_dataset("stanford_cars")
    listing = json.loads((data_root / "stanford_cars" / "split_zhou_StanfordCars.json").read_text())
    manifest = prepare.checked(spec, data_root)
    assert [list(item) for item in manifest.splits["train"]] == [entry[:2] for entry in listing["train"]]
