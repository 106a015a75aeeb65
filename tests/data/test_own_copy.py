"""A user's own copy: linked, never touched; and what is said when there is none."""

import pytest

from cocoop import io
from cocoop.config.specs import DatasetSpec
from cocoop.data import prepare
from cocoop.errors import UserError
from tests.data.builders import lay_out, packed
from tests.data.test_source import IMAGES, SPLIT, spec_of


def own_copy(tmp_path):
    lay_out(IMAGES, tmp_path / "mine")
    return DatasetSpec(
        "own",
        {
            "title": "Own",
            "template": "a {}.",
            "link": str(tmp_path / "mine"),
            "reader": {"kind": "image_folder", "split": SPLIT},
        },
    )


def test_a_users_copy_is_linked_and_not_changed(tmp_path):
    spec = own_copy(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "mine").rglob("*")}
    for _ in range(2):
        prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
    assert (tmp_path / "data" / "own").readlink() == tmp_path / "mine"
    assert prepare.manifest(spec, tmp_path / "data", tmp_path / "m.json").classnames == ("cat", "dog")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "mine").rglob("*")} == before


def test_a_link_follows_a_copy_that_moved(tmp_path):
    spec = own_copy(tmp_path)
    prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
    (tmp_path / "mine").rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"dataset 'own': link: .*/mine does not exist; give the path of your copy"):
        prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
    spec.settings["link"] = str(tmp_path / "moved")
    prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
    assert (tmp_path / "data" / "own").resolve() == tmp_path / "moved"


def test_a_link_into_an_unknown_home_is_named(tmp_path):
    spec = own_copy(tmp_path)
    spec.settings["link"] = "~unknown/mine"
    with pytest.raises(
        UserError, match="dataset 'own': link: ~unknown/mine: no such file or folder, and no home folder"
    ):
        prepare.download(spec, tmp_path / "data", tmp_path / "source.json")


def test_a_link_does_not_replace_existing_files(tmp_path):
    spec = own_copy(tmp_path)
    lay_out({"x.jpg": b""}, tmp_path / "data" / "own")
    with pytest.raises(UserError, match=r"own already exists and is not .*mine; move it away, or remove `link`"):
        prepare.download(spec, tmp_path / "data", tmp_path / "source.json")


def test_nothing_is_downloaded_into_a_users_copy(server, tmp_path):
    spec = spec_of(server, "/source/mine", packed(IMAGES, "zip"), link=str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError) as error:
        prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
    assert f"your copy {tmp_path}/mine, linked as {tmp_path}/data/own, lacks images; nothing is" in str(error.value)
    assert list((tmp_path / "mine").iterdir()) == []


def test_imagenet_explains_the_manual_download(tmp_path):
    spec = DatasetSpec("imagenet", io.read_yaml(io.REPOSITORY / "config" / "datasets" / "imagenet.yaml"))
    with pytest.raises(UserError) as error:
        prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
    message = str(error.value)
    lacks = f"dataset 'imagenet': {tmp_path}/data/imagenet lacks images/train, images/val."
    assert message.startswith(f"{lacks} ImageNet needs an account")
    assert "images/train/<synset>/" in message and "`link: {images/train: " in message


def test_a_missing_dataset_of_the_user_is_reported(tmp_path):
    spec = own_copy(tmp_path)
    del spec.settings["link"]
    with pytest.raises(
        UserError, match=r"own lacks \.\. Put it there, or give the path of your copy in the dataset's YAML: `link:"
    ):
        prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
