"""Which files a dataset was read from: what counts as a change of them."""

from pathlib import Path

import pytest

from cocoop.config.specs import DatasetSpec
from cocoop.data import prepare
from cocoop.data.download.state import again, files_now
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
    """`asked()`: what the name of the stamp that the workflow asks for now ends in; `asked(run=True)` also downloads."""
    lay_out(TREE, tmp_path / "own")
    spec, stamp = DatasetSpec("own", SETTINGS), str(tmp_path / "stamp{again}.json")

    def ask(run=False):
        ending = again(spec, tmp_path, stamp)
        if run:
            prepare.download(spec, tmp_path, Path(stamp.format(again=ending)), offline=True)
        return ending

    return ask


def test_files_are_compared_by_content_and_folders_by_name(tmp_path):
    lay_out(TREE, tmp_path / "own")
    found = files_now(DatasetSpec("own", SETTINGS), tmp_path / "own")
    assert list(found) == ["annotations", "annotations/trainval.txt", "images", "split.json"]
    assert found["images"] == "folder" and len(found["split.json"]) == 64


def test_a_stamp_that_is_missing_or_damaged(asked, tmp_path):
    assert asked() == ""
    (tmp_path / "stamp.json").write_text("damaged")
    assert asked() == ".2"


@pytest.mark.parametrize("change", ["split comes", "split goes", "split changes", "annotations change"])
def test_a_change_asks_for_one_download(change, asked, tmp_path):
    split, annotations = tmp_path / "own/split.json", tmp_path / "own/annotations/trainval.txt"
    if change == "split comes":
        split.unlink()
    assert asked(run=True) == asked() == ""
    {
        "split comes": lambda: split.write_text("{}"),
        "split goes": split.unlink,
        "split changes": lambda: split.write_text("[]"),
        "annotations change": lambda: annotations.write_text("y"),
    }[change]()
    assert asked(run=True) == ".2"
    assert asked() == ".2", "the download that it asked for is the last"


def test_files_of_before_are_a_change_too(asked, tmp_path):
    """Whatever was made from the files in between has to be made again."""
    split, content = tmp_path / "own/split.json", TREE["split.json"]
    assert asked(run=True) == ""
    for ending in (".2", ".3", ".4"):
        split.unlink() if split.exists() else split.write_bytes(content)
        assert asked(run=True) == asked() == ending


def test_a_clone_on_the_same_data_root_asks_for_the_same_stamp(asked, tmp_path):
    """Both run the download at once, or one after the other: the second finds the stamp of the first and keeps it."""
    asked(run=True)
    (tmp_path / "own/split.json").unlink()
    assert asked() == ".2"
    asked(run=True)
    written = (tmp_path / "stamp.2.json").stat().st_mtime_ns
    prepare.download(DatasetSpec("own", SETTINGS), tmp_path, tmp_path / "stamp.2.json", offline=True)
    assert asked() == ".2" and (tmp_path / "stamp.2.json").stat().st_mtime_ns == written


def test_another_time_and_more_images_are_no_change(asked, tmp_path):
    asked(run=True)
    (tmp_path / "own/split.json").touch()
    lay_out({"images/2.jpg": picture(2)}, tmp_path / "own")
    assert asked() == ""
