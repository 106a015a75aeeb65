"""A user's own images: one YAML file, no code."""

import json

import pytest

from cocoop import splits
from cocoop.config.specs import DatasetSpec
from cocoop.config.validation import validate
from cocoop.data import new, prepare
from cocoop.errors import UserError
from tests.data.builders import lay_out, picture, split_file

SPLIT = {"train": 0.5, "val": 0.2, "test": 0.3, "seed": 1}


def images(*classes, number=10, prefix=""):
    return {f"{prefix}{name}/{n}.jpg": picture(n) for name in classes for n in range(number)}


def manifest(tmp_path, reader, **keys):
    """The manifest of the folder `own` read as told; the YAML passes the schema."""
    settings = {"title": "Own", "template": "a photo of a {}.", "reader": reader} | keys
    validate(settings, "dataset", "own.yaml")
    return prepare.checked(DatasetSpec("own", settings), tmp_path)


def sizes(found):
    return {split: len(items) for split, items in found.splits.items()}


def test_image_folder(tmp_path):
    lay_out(images("b_cat", "a_dog", "Zebra"), tmp_path / "own")
    found = manifest(tmp_path, {"kind": "image_folder", "split": SPLIT})
    assert found.classnames == ("Zebra", "a_dog", "b_cat")  # ASCII order, as the reference sorts
    assert sizes(found) == {"train": 15, "val": 6, "test": 9}
    assert found == manifest(tmp_path, {"kind": "image_folder", "split": SPLIT})
    other = manifest(tmp_path, {"kind": "image_folder", "split": SPLIT | {"seed": 2}})
    assert other.splits["train"] != found.splits["train"]
    train, _ = splits.few_shot(found.splits["train"], found.splits["val"], 2, seed=1)
    assert [item.label for item in train] == [0, 0, 1, 1, 2, 2]


def test_rounding_is_half_to_even_as_in_the_reference(tmp_path):
    lay_out(images("cat", number=25) | images("dog", number=33), tmp_path / "own")
    found = manifest(tmp_path, {"kind": "image_folder", "split": SPLIT})
    counts = {split: [found.labels(split).count(label) for label in (0, 1)] for split in found.splits}
    assert counts == {"train": [12, 16], "val": [5, 7], "test": [8, 10]}


def test_numeric_class_folders_sort_by_value_and_get_names(tmp_path):
    lay_out(images("10", "9", "0"), tmp_path / "own")
    found = manifest(tmp_path, {"kind": "image_folder", "split": SPLIT, "names": ["shirt", "boot", "bag"]})
    assert found.classnames == ("shirt", "boot", "bag")
    assert {item.path.split("/")[0] for item in found.splits["train"] if item.label == 2} == {"10"}


def test_names_renamed_and_folders_ignored(tmp_path):
    lay_out(images("cat", "dog", "junk"), tmp_path / "own")
    found = manifest(
        tmp_path, {"kind": "image_folder", "split": SPLIT, "ignore": ["junk"], "rename": {"cat": "tom cat"}}
    )
    assert found.classnames == ("tom cat", "dog")


def test_unicode_and_upper_case_extensions(tmp_path):
    tree = {f"猫 é/фото {n}.JPEG": picture(n) for n in range(10)} | {
        f"dog/{n}.PNG": picture(n, "PNG") for n in range(10)
    }
    lay_out(tree, tmp_path / "own")
    found = manifest(tmp_path, {"kind": "image_folder", "split": SPLIT})
    assert found.classnames == ("dog", "猫 é") and sizes(found) == {"train": 10, "val": 4, "test": 6}
    found.save(tmp_path / "m.json")
    assert type(found).load(tmp_path / "m.json") == found


@pytest.mark.parametrize(
    ("reader", "told"),
    [
        ({"names": ["one"] * 3}, r"reader: names has 3 class names, found 2 classes: cat, dog; give one name for each"),
        ({"rename": {"catt": "x"}}, r"reader: rename: no class 'catt'; found cat, dog\. Did you mean 'cat'\?"),
        (
            {"split": SPLIT | {"test": 0.4}},
            r"reader: split: the sum of train, val and test must be 1, got 1\.1",
        ),
        (
            {"split": {"train": 0.98, "val": 0.01, "test": 0.01}},
            r"class 'cat' has 10 images, too few for a split into 98% train",
        ),
        ({"images": "pictures"}, r"own/pictures: no such folder; download the dataset, or put its images there"),
        (
            {"images": "cat"},
            r"own/cat: contains 10 images but no class folders: move each image into the folder of its class",
        ),
    ],
)
def test_image_folder_that_cannot_be(tmp_path, reader, told):
    lay_out(images("cat", "dog"), tmp_path / "own")
    with pytest.raises(UserError, match=told):
        manifest(tmp_path, {"kind": "image_folder", "split": SPLIT} | reader)


def test_folders(tmp_path):
    for part, number in {"train": 4, "valid": 2, "test": 3}.items():
        lay_out(images("cat", "dog", number=number, prefix=f"{part}/"), tmp_path / "own")
    found = manifest(tmp_path, {"kind": "folders", "train": "train", "val": "valid", "test": "test"})
    assert sizes(found) == {"train": 8, "val": 4, "test": 6}
    without_val = manifest(tmp_path, {"kind": "folders", "train": "train", "test": "test"})
    assert sizes(without_val) == {"train": 8, "val": 0, "test": 6}


def test_folders_with_a_class_that_train_lacks(tmp_path):
    lay_out(images("cat", prefix="train/") | images("cat", "cow", prefix="test/"), tmp_path / "own")
    with pytest.raises(UserError, match=r"own/test: 1 class that train does not have: cow"):
        manifest(tmp_path, {"kind": "folders", "train": "train", "test": "test"})


def test_csv_with_a_split_column(tmp_path):
    rows = ["path,class,split"] + [f'"{name}/{n}.jpg","{name}",{part}' for name in ("big, cat", "dog") for n, part in
            enumerate(["train", "Training", "val", "validation", "test"])]  # fmt: skip
    lay_out(images("big, cat", "dog", number=5, prefix="photos/"), tmp_path / "own")
    (tmp_path / "own" / "list.csv").write_text("\n".join(rows), encoding="utf-8-sig")  # as spreadsheets save it
    found = manifest(tmp_path, {"kind": "listing", "file": "list.csv", "images": "photos"})
    assert found.classnames == ("big, cat", "dog") and sizes(found) == {"train": 4, "val": 4, "test": 2}


def test_json_with_other_column_names_and_automatic_split(tmp_path):
    rows = [
        {"image": f"{name}/{n}.jpg", "label": label} for label, name in enumerate(["cat", "dog"]) for n in range(10)
    ]
    lay_out(images("cat", "dog") | {"list.json": json.dumps(rows).encode()}, tmp_path / "own")
    reader = {"kind": "listing", "file": "list.json", "columns": {"path": "image", "class": "label"}, "split": SPLIT}
    found = manifest(tmp_path, reader | {"names": ["cat", "dog"]})
    assert found.classnames == ("cat", "dog") and sizes(found) == {"train": 10, "val": 4, "test": 6}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "list.csv: lists no images"),
        ("path,klass\na.jpg,cat\n", r"entry 1 has no 'class'; its columns: path, klass; .*Did you mean 'klass'\?"),
        ("path,class\na.jpg,\n", "entry 1 has no 'class'"),
        ("path,class\na.jpg,cat\n", r"no column 'split'; add it \(train, val, test\), or give `split:` fractions"),
        ("path,class,split\na.jpg,cat,dev\n", r"entry 1: unknown split 'dev'; take train, val or test"),
        (
            "path,class,split\n/etc/a.jpg,cat,test\n",
            r"image path '/etc/a\.jpg' leads out of the dataset's folder .*/own; put the images there, and give paths rel",
        ),
        ("path,class,split\n../a.jpg,cat,test\n", r"image path '\.\./a\.jpg' leads out of the dataset's folder"),
        ("path,class,split\na.jpg,cat,train\nb.jpg,cat,test\n", r"2 of 2 images are missing; first: a\.jpg, b\.jpg"),
    ],
)
def test_csv_that_cannot_be(tmp_path, text, told):
    lay_out({"list.csv": text.encode()}, tmp_path / "own")
    with pytest.raises(UserError, match=told):
        manifest(tmp_path, {"kind": "listing", "file": "list.csv"})


def test_new_of_a_csv_in_another_encoding(tmp_path):
    (tmp_path / "list.csv").write_bytes("päth,class\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"list\.csv: not UTF-8 text \(byte 1\); save it as UTF-8"):
        new.write_yaml(tmp_path / "list.csv", "own", folder=tmp_path)


def test_listings_of_another_kind(tmp_path):
    lay_out({"list.json": b'{"a": 1}', "list.csv": "path,class\nä.jpg,x".encode("latin-1")}, tmp_path / "own")
    with pytest.raises(UserError, match=r"list\.json: expected a JSON list of objects, one for each image"):
        manifest(tmp_path, {"kind": "listing", "file": "list.json"})
    with pytest.raises(UserError, match=r"list\.csv: not UTF-8 text \(byte 11\); save it as UTF-8"):
        manifest(tmp_path, {"kind": "listing", "file": "list.csv"})
    with pytest.raises(UserError, match=r"dataset 'own': .*/gone\.csv: missing; download the dataset, or put the file"):
        manifest(tmp_path, {"kind": "listing", "file": "gone.csv"})


def test_coop_split_file(tmp_path):
    classes = {name: [f"{name}/{n}.jpg" for n in range(10)] for name in ("cat", "dog")}
    lay_out(images("cat", "dog") | {"split.json": split_file(classes, {"cat": "tom cat"})}, tmp_path / "own")
    found = manifest(tmp_path, {"kind": "coop_split", "file": "split.json", "rename": {"dog": "big dog"}})
    assert found.classnames == ("tom cat", "big dog") and sizes(found) == {"train": 10, "val": 4, "test": 6}
