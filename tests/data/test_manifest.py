"""What a manifest proves, and what a user is told when it cannot."""

import json
import shutil

import pytest

from cocoop import io
from cocoop.config.specs import DatasetSpec
from cocoop.data import prepare
from cocoop.errors import UserError
from tests.data.builders import SYNSETS, lay_out
from tests.data.refusal import refused
from tests.data.tiny import apart_from_size


def rewrite_split(folder, change):
    path = next(folder.glob("split_zhou_*.json"))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_missing_images_are_listed(copy):
    spec, folder = copy("dtd")
    for name in (
        "banded/banded_0001.jpg",
        "banded/banded_0002.jpg",
        "blotchy/blotchy_0003.jpg",
        "zigzagged/zigzagged_0012.jpg",
    ):
        (folder / "images" / name).unlink()
    assert refused(spec, folder) == (
        "dataset 'dtd': 4 of 36 images are missing; first: images/banded/banded_0001.jpg, images/banded/banded_0002.jpg,"
        f" images/blotchy/blotchy_0003.jpg (+1 more). They belong in {folder}. Download the dataset again, or complete"
        " your copy."
    )


def test_a_folder_nested_twice_is_recognised(copy):
    spec, folder = copy("food101")
    (folder / "images").rename(folder.parent / "inner")
    (folder / "food-101").mkdir()
    (folder.parent / "inner").rename(folder / "food-101" / "images")
    assert "36 of 36 images are missing; first: images/apple_pie/134.jpg" in (said := refused(spec, folder))
    assert said.endswith(
        f"They lie one folder too deep, in {folder}/food-101: move its content up, or write `images: food-101` under"
        " `reader:` where it takes that."
    )


def test_counts_that_are_not_the_published_ones(copy):
    spec, folder = copy("dtd", sizes={"train": 2820, "val": 6, "test": 13})
    assert refused(spec, folder) == (
        f"dataset 'dtd': number of images in {folder} is not the published one: train 18 (published 2820), test 12 (published"
        " 13); the dataset is incomplete, or has files that do not belong to it."
    )


def test_number_of_classes(copy):
    spec, folder = copy("imagenet_r")
    (folder / "imagenet-r" / "n01484850").rename(folder / "moved")
    assert f"found 2 classes in {folder}, expected 3; the dataset is incomplete" in refused(spec, folder)


def test_class_names_that_are_not_the_papers(copy):
    spec, folder = copy("imagenet_sketch", class_list_sha256="0" * 64)
    digest = io.sha256_text("\n".join(SYNSETS.values()))
    message = refused(spec, folder)
    assert f"its class names are not the paper's (sha256 of the list {digest}, expected {'0' * 64})" in message
    assert f"write `class_list_sha256: {digest}` into the dataset's YAML" in message


def test_no_folder(copy):
    spec, folder = copy("dtd", manual="Ask the authors.")
    shutil.rmtree(folder)
    assert refused(spec, folder) == (
        f"dataset 'dtd': no folder {folder}; run the download, or put the dataset there. Ask the authors."
    )


def test_a_class_without_training_images(copy):
    spec, folder = copy("dtd", sizes={})
    rewrite_split(folder, lambda content: content.update(train=[e for e in content["train"] if e[1] != 1]))
    assert refused(spec, folder) == "dataset 'dtd': 1 class has no train image: blotchy."


def test_nothing_to_test_on(copy):
    spec, folder = copy("dtd", sizes={})
    rewrite_split(folder, lambda content: content.update(test=[]))
    assert refused(spec, folder) == (
        f"dataset 'dtd': no test images in {folder}; nothing could be evaluated. There are images of train"
        " and val: rename one of these splits to test."
    )


def test_leakage_and_shared_names_are_noted(copy, tmp_path):
    spec, folder = copy("dtd", sizes={})
    rewrite_split(folder, lambda content: content["test"].append(content["train"][0]))
    notes = prepare.manifest(spec, folder.parent, tmp_path / "m.json").notes
    assert apart_from_size(notes) == ("leakage: 1 image is in train and in test: images/banded/banded_0001.jpg",)
    for split in ("train", "val", "test"):
        rewrite_split(
            folder, lambda c, split=split: c.update({split: [[p, y, "same" if y else n] for p, y, n in c[split]]})
        )
    assert (
        "classes that share a prompt cannot be told apart by text: 'same', 'same'"
        in prepare.checked(spec, folder.parent).notes
    )


def test_an_empty_class_folder(copy):
    spec, folder = copy("imagenet_r")
    empty = folder / "imagenet-r" / "n01440764"
    shutil.rmtree(empty)
    empty.mkdir()
    assert refused(spec, folder) == (
        f"dataset 'imagenet_r': {empty}: class folder without images; add some, or remove the folder."
    )


def test_stray_files_are_skipped_with_a_note(copy):
    spec, folder = copy("imagenet_r")
    lay_out({"n01440764/Thumbs.db": b"", "n01440764/.hidden.jpg": b""}, folder / "imagenet-r")
    notes = prepare.checked(spec, folder.parent).notes
    assert apart_from_size(notes) == (
        "class names: CLIP's, as shipped by open_clip",
        "left out: 1 file that is not an image: imagenet-r/n01440764/Thumbs.db",
    )


def test_unreadable_images_are_skipped_on_request(copy):
    spec, folder = copy("dtd", skip_unreadable=True)
    bad = folder / "images" / "banded" / "banded_0001.jpg"
    bad.write_bytes(bad.read_bytes()[:300])
    manifest = prepare.checked(spec, folder.parent)
    assert len(manifest.splits["train"]) == 17
    assert apart_from_size(manifest.notes) == ("1 unreadable image skipped: images/banded/banded_0001.jpg",)


def test_a_manifest_is_the_same_bytes_each_time(tiny_dataset, tmp_path):
    spec, data_root = tiny_dataset("eurosat")
    for name in ("one", "two"):
        prepare.manifest(spec, data_root, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_unknown_reader(tmp_path):
    (tmp_path / "own").mkdir()
    spec = DatasetSpec("own", {"title": "Own", "template": "a {}.", "reader": {"kind": "image_folders"}})
    with pytest.raises(
        UserError, match=r"reader: kind: unknown reader 'image_folders'; known: .*Did you mean 'image_folder'\?"
    ):
        prepare.checked(spec, tmp_path)
