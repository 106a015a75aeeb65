"""ImageNet and its variants: the layouts and names that go wrong."""

import shutil

import pytest

from cocoop import io
from cocoop.data.readers import imagenet_names
from cocoop.data.readers.imagenet_names import ImageNetNames
from cocoop.errors import UserError
from tests.data.builders import SYNSETS, lay_out, picture
from tests.data.refusal import refused


def test_imagenet_with_a_flat_validation_folder(copy):
    spec, folder = copy("imagenet")
    for image in list((folder / "images" / "val").rglob("*.JPEG")):
        image.rename(folder / "images" / "val" / image.name)
    for directory in SYNSETS:
        (folder / "images" / "val" / directory).rmdir()
    message = refused(spec, folder)
    assert (
        f"{folder}/images/val: contains 12 images but no class folders: move each image into the folder of its class"
        in message
    )


@pytest.mark.parametrize(("lacking", "other"), [("train", "val"), ("val", "train")])
def test_imagenet_with_a_missing_synset_folder(copy, lacking, other):
    """The reference ranks both lists apart and shifts all later labels."""
    spec, folder = copy("imagenet")
    shutil.rmtree(folder / "images" / lacking / "n01443537")
    assert refused(spec, folder) == (
        f"dataset 'imagenet': {folder}/images/{lacking}: 1 class folders of {folder}/images/{other} are missing: n01443537."
    )


def test_imagenet_rejects_a_folder_that_is_not_a_synset(copy):
    spec, folder = copy("imagenet_a")
    lay_out({"new/1.jpg": picture(0)}, folder / "imagenet-a")
    assert (
        refused(spec, folder)
        == f"dataset 'imagenet_a': {folder}/imagenet-a: folder 'new' is not an ImageNet synset; move it away."
    )


def test_imagenetv2_with_a_missing_number(copy):
    spec, folder = copy("imagenetv2")
    shutil.rmtree(folder / "imagenetv2-matched-frequency-format-val" / "10")
    assert refused(spec, folder).endswith("expected the folders 0 to 11; missing: 10.")


@pytest.mark.parametrize(
    ("added", "removed", "told"),
    [
        (["1000"], [], "not expected: 1000."),
        (["07", "1000"], [], "not expected: 07, 1000."),
        (["1000"], ["3"], "missing: 3; not expected: 1000."),
    ],
)
def test_imagenetv2_names_its_excess_folders(copy, added, removed, told):
    spec, folder = copy("imagenetv2")
    root = folder / "imagenetv2-matched-frequency-format-val"
    lay_out({f"{name}/1.jpeg": picture(0) for name in added}, root)
    for name in removed:
        shutil.rmtree(root / name)
    assert refused(spec, folder).endswith(f"expected the folders 0 to 11; {told}")


def test_imagenet_names_are_clips(tmp_path):
    names = ImageNetNames.find([tmp_path / "classnames.txt"])
    expected = io.read_yaml(io.REPOSITORY / "config" / "datasets" / "imagenet.yaml")["class_list_sha256"]
    assert io.sha256_text("\n".join(names.names)) == expected
    assert (len(names.synsets), names.of("n15075141", tmp_path)) == (1000, "toilet paper")
    (tmp_path / "classnames.txt").write_text("n01440764 a tench\n")
    assert ImageNetNames.find([tmp_path / "classnames.txt"]).names == ("a tench",)
    (tmp_path / "classnames.txt").write_text("n01440764\n")
    with pytest.raises(UserError, match=r"""classnames.txt: invalid line 'n01440764'; expected "<synset> <class"""):
        ImageNetNames.find([tmp_path / "classnames.txt"])


def test_imagenet_names_that_no_library_ships(tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet_names.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"ImageNet class names: timm does not ship them; put classnames\.txt into"):
        ImageNetNames.find([])
