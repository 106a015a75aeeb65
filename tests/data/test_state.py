"""Which files a dataset was read from: what counts as a change of them."""

import pytest

from cocoop.config.specs import DatasetSpec
from cocoop.data import prepare
from cocoop.data.download.state import files_now, request
from tests.data.builders import lay_out, picture

READER = {"kind": "oxford_pets", "images": "images", "annotations": "annotations"}
SETTINGS = {
    "title": "Own",
    "template": "a {}.",
    "download": [{"file": "images.zip", "sources": ["https://example.org/x"], "gives": ["images"], "extract": {}}],
    "reader": {"kind": "coop_split", "file": "split.json", "images": "images"},
    "fallback_reader": READER,
}
TREE = {
    "images/1.jpg": picture(1),
    "split.json": b"{}",
    "annotations/trainval.txt": b"x",
    "annotations/xml/1.xml": b"x",
}


@pytest.fixture
def asked(tmp_path):
    """`asked()`: what the workflow would ask a download for now; `asked(run=True)` downloads with it."""
    lay_out(TREE, tmp_path / "own")
    spec, stamp = DatasetSpec("own", SETTINGS), tmp_path / "stamp.json"

    def ask(run=False):
        found = request(spec, tmp_path, stamp)
        if run:
            prepare.download(spec, tmp_path, stamp, offline=True, request=found)
        return found

    return ask


def test_files_are_compared_by_content_and_folders_by_name(tmp_path):
    lay_out(TREE, tmp_path / "own")
    found = files_now(DatasetSpec("own", SETTINGS), tmp_path / "own")
    assert list(found) == ["annotations", "annotations/trainval.txt", "images", "split.json"]
    assert found["images"] == "folder" and len(found["split.json"]) == 64


def test_without_a_stamp_nothing_has_changed(asked, tmp_path):
    assert asked() == ""
    (tmp_path / "stamp.json").write_text("damaged")
    assert asked() == ""


@pytest.mark.parametrize("change", ["split comes", "split goes", "split changes", "annotations change"])
def test_a_change_asks_for_one_download(change, asked, tmp_path):
    split, annotations = tmp_path / "own/split.json", tmp_path / "own/annotations/trainval.txt"
    if change == "split comes":
        split.unlink()
    before = asked(run=True)
    assert asked() == before
    {
        "split comes": lambda: split.write_text("{}"),
        "split goes": split.unlink,
        "split changes": lambda: split.write_text("[]"),
        "annotations change": lambda: annotations.write_text("y"),
    }[change]()
    after = asked(run=True)
    assert after != before
    assert asked() == after, "the download that it asked for is the last"


def test_another_time_and_more_images_are_no_change(asked, tmp_path):
    before = asked(run=True)
    (tmp_path / "own/split.json").touch()
    lay_out({"images/2.jpg": picture(2)}, tmp_path / "own")
    assert asked() == before
