"""Wrong labels, numbers and names in annotations: told in one line with the file, never shifted, never a traceback."""

import json
import os

import pytest

from cocoop.data import check, prepare
from tests.data.builders import lay_out
from tests.data.refusal import refused
from tests.data.tiny import apart_from_size


def pets(copy, trainval: str, test: str = "Bengal_11 2 1 2\n"):
    spec, folder = copy("oxford_pets")
    (folder / "split_zhou_OxfordPets.json").unlink()
    lay_out({"annotations/trainval.txt": trainval.encode(), "annotations/test.txt": test.encode()}, folder)
    return refused(spec, folder)


@pytest.mark.parametrize("number", ["0", "\u00b2", "-1", "9" * 5000])
def test_class_ids_of_pets_count_from_one(copy, number):
    """Id 0 was label -1, which names a picture of the last class."""
    assert 'expected "<image> <class id> <species> <breed id>", ids from 1' in pets(
        copy, f"Abyssinian_1 {number} 1 1\n"
    )


def test_a_gap_in_the_ids_of_pets(copy):
    assert "class ids do not count 1, 2, 3, ... without a gap (none is 1)" in pets(
        copy, "Bengal_1 2 1 1\npug_1 3 1 1\n"
    )


def test_two_breeds_with_one_id(copy):
    said = pets(copy, "Abyssinian_1 1 1 1\nBengal_1 1 1 1\n")
    assert "trainval.txt: class id 1 has two breeds, 'abyssinian' and 'bengal' ('Bengal_1 1 1 1')" in said


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ("0 ApplyEyeMakeup\n", "invalid line '0 ApplyEyeMakeup'"),
        ("1 ApplyEyeMakeup\n1 YoYo\n", "'1 YoYo': this id or this action appears twice"),
        ("1 ApplyEyeMakeup\n2 HandstandPushups\n4 YoYo\n", "ids do not count 1, 2, 3, ... without a gap (none is 3)"),
        ("1 lower\n", "invalid line '1 lower'"),
    ],
)
def test_actions_of_ucf101(copy, listed, told):
    spec, folder = copy("ucf101")
    (folder / "split_zhou_UCF101.json").unlink()
    lists = folder / (spec.settings["fallback_reader"]["lists"])
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "classInd.txt").write_text(listed)
    (lists / "trainlist01.txt").write_text("")
    (lists / "testlist01.txt").write_text("")
    said = refused(spec, folder)
    assert told in said and "classInd.txt" in said


@pytest.mark.parametrize("content", ['["rose"]', '{"x": "rose"}', '{"0": "rose"}', '{"1": 7}', '{"1": "a", "01": "b"}'])
def test_names_of_flowers(copy, content):
    spec, folder = copy("flowers102")
    (folder / "split_zhou_OxfordFlowers.json").unlink()
    (folder / "cat_to_name.json").write_text(content)
    assert f"{folder}/cat_to_name.json: " in refused(spec, folder)


def test_a_checksum_for_a_missing_aircraft_list(copy):
    spec, folder = copy(
        "fgvc_aircraft", reader={"kind": "fgvc_aircraft", "images": "images", "sha256": {"x.txt": "0" * 64}}
    )
    assert f"{folder}/x.txt: missing" in refused(spec, folder)


def test_nan_in_a_split_file(copy):
    spec, folder = copy("dtd")
    path = folder / "split_zhou_DescribableTextures.json"
    path.write_text('{"train": [["a.jpg", NaN, "x"]], "val": [], "test": []}')
    spec.settings["reader"] = {**spec.settings["reader"], "content_sha256": "0" * 64}
    assert f"{path}: not valid JSON (NaN is not a JSON number)" in refused(spec, folder)


def own(copy, tmp_path, text: str, name: str = "list.csv"):
    """A dataset of a listing, and its images in place."""
    spec, folder = copy("dtd", reader={"kind": "listing", "file": name}, sizes={})
    spec.settings.pop("classes", None)
    spec.settings.pop("class_list_sha256", None)
    (folder / name).write_text(text, newline="")
    for image in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        (folder / image).touch()
    return spec, folder


def test_a_line_feed_inside_a_csv_field_stays(copy, tmp_path):
    rows = 'path,class,split\na.jpg,"two\nlines",train\nb.jpg,"two\nlines",test\n'
    spec, folder = own(copy, tmp_path, rows)
    assert prepare.checked(spec, folder.parent).classnames == ("two\nlines",)


def test_a_csv_field_without_an_end(copy, tmp_path):
    spec, folder = own(copy, tmp_path, 'path,class,split\na.jpg,"' + "x" * 140_000)
    assert f"{folder}/list.csv, line 2: not valid CSV (field larger than field limit (131072))" in refused(spec, folder)


def test_one_image_under_two_labels_is_noted(copy, tmp_path, capsys):
    rows = "path,class,split\na.jpg,cat,train\na.jpg,dog,train\nb.jpg,dog,test\nc.jpg,cat,test\nc.jpg,cat,test\n"
    spec, folder = own(copy, tmp_path, rows)
    notes = prepare.manifest(spec, folder.parent, tmp_path / "m.json").notes
    assert apart_from_size(notes) == (
        "double labels: 1 image has more than one class in train: a.jpg",
        "1 image is listed more than once in test: c.jpg",
    )
    said = capsys.readouterr().err
    assert all(f"dataset 'dtd': {note}" in said for note in notes)
    assert "note: double labels: 1 image has" in check.report(spec, folder.parent)


def test_names_that_are_no_utf8(copy, tmp_path):
    """From the disk and from JSON; a picture, a class folder."""
    spec, folder = copy(
        "dtd", reader={"kind": "image_folder", "images": "images", "split": {"train": 0.5, "val": 0.2, "test": 0.3}}
    )
    os.rename(folder / "images/banded", os.fsencode(folder / "images") + b"/caf\xe9")
    assert r"the name of class 'caf\udce9' in" in refused(spec, folder)
    os.rename(os.fsencode(folder / "images") + b"/caf\xe9", folder / "images/banded")
    image = next((folder / "images/banded").iterdir())
    image.rename(os.fsdecode(os.fsencode(image.parent) + b"/\xff.jpg"))
    assert r"the name of image 'images/banded/\udcff.jpg' in" in refused(spec, folder)
    rows = [{"path": "a.jpg", "class": "\ud800", "split": "train"}]
    spec, folder = own(copy, tmp_path, json.dumps(rows), "list.json")
    assert r"the name of class '\ud800' in" in refused(spec, folder)
