"""What a manifest proves, and what a user is told when it cannot."""

import json
import shutil
from dataclasses import replace

import pytest

from cocoop import io
from cocoop.config.specs import DatasetSpec
from cocoop.data import prepare
from cocoop.data.readers import imagenet_names
from cocoop.data.readers.imagenet_names import ImageNetNames
from cocoop.errors import UserError
from tests.datasets.builders import SYNSETS, lay_out, picture


@pytest.fixture
def copy(tiny_dataset, tmp_path):
    """`copy(name)`: the spec and folder of a copy of a tiny dataset that a test may damage."""

    def get(name, **keys):
        spec, data_root = tiny_dataset(name)
        shutil.copytree(data_root, tmp_path / "data", symlinks=False, dirs_exist_ok=True)
        settings = {key: value for key, value in spec.settings.items() if key != "link"}
        return replace(spec, settings=settings | keys), tmp_path / "data" / spec.folder

    return get


def refused(spec, folder):
    """The message of a manifest that is refused and not written."""
    out = folder.parent / "manifest.json"
    with pytest.raises(UserError) as error:
        prepare.manifest(spec, folder.parent, out)
    assert not out.exists()
    return str(error.value)


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
        f" images/blotchy/blotchy_0003.jpg (+1 more). They belong into {folder}. Download the dataset again, or complete"
        " your copy."
    )


def test_a_folder_nested_twice_is_recognised(copy):
    spec, folder = copy("food101")
    (folder / "images").rename(folder.parent / "inner")
    (folder / "food-101").mkdir()
    (folder.parent / "inner").rename(folder / "food-101" / "images")
    assert "36 of 36 images are missing; first: images/apple_pie/134.jpg" in (said := refused(spec, folder))
    assert said.endswith(f"They lie one folder too deep, in {folder}/food-101: move its content up.")


def test_counts_that_are_not_the_published_ones(copy):
    spec, folder = copy("dtd", sizes={"train": 2820, "val": 6, "test": 13})
    assert refused(spec, folder) == (
        f"dataset 'dtd': number of images in {folder} is not the published one: train 18 (published 2820), test 12 (published"
        " 13); the dataset is not whole, or has files that do not belong to it."
    )


def test_number_of_classes(copy):
    spec, folder = copy("imagenet_r")
    (folder / "imagenet-r" / "n01484850").rename(folder / "moved")
    assert f"found 2 classes in {folder}, expected 3; the dataset is not whole" in refused(spec, folder)


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


def test_neither_split_file_nor_annotations(copy):
    spec, folder = copy("oxford_pets")
    (folder / "split_zhou_OxfordPets.json").unlink()
    message = refused(spec, folder)
    assert (
        f"{folder}/split_zhou_OxfordPets.json: not there; download the dataset, or put the file at this place."
        in message
    )
    assert f"Nor can the split be built anew: {folder}/annotations/trainval.txt: not there" in message


def test_damaged_split_files(copy):
    spec, folder = copy("dtd")
    path = folder / "split_zhou_DescribableTextures.json"
    whole = path.read_text()
    for damaged, told in (
        (whole[:100], "no valid JSON"),
        ("[]", "no split file: expected an object with the lists train, val and test"),
        (
            '{"train": [["a.jpg", "0", "x"]], "val": [], "test": []}',
            "train: expected [image path, label, class name], found",
        ),
        (
            '{"train": [["../a.jpg", 0, "x"]], "val": [], "test": []}',
            "image path '../a.jpg' leads out of the dataset's folder",
        ),
        (
            '{"train": [["a.jpg", 0, "x"], ["b.jpg", 0, "y"]], "val": [], "test": []}',
            "label 0 has two class names, 'x' and 'y'",
        ),
        ('{"train": [["a.jpg", 0, "x"], ["b.jpg", 2, "y"]], "val": [], "test": []}', "(no image has label 1)"),
    ):
        path.write_text(damaged)
        said = refused(spec, folder)
        assert told in said and str(path) in said


def test_a_class_without_training_images(copy):
    spec, folder = copy("dtd", sizes={})
    rewrite_split(folder, lambda content: content.update(train=[e for e in content["train"] if e[1] != 1]))
    assert refused(spec, folder) == "dataset 'dtd': 1 classes have no train image: blotchy."


def test_nothing_to_test_on(copy):
    spec, folder = copy("dtd", sizes={})
    rewrite_split(folder, lambda content: content.update(test=[]))
    assert refused(spec, folder) == f"dataset 'dtd': no test images in {folder}; nothing could be evaluated."


def test_leakage_and_shared_names_are_noted(copy, tmp_path):
    spec, folder = copy("dtd", sizes={})
    rewrite_split(folder, lambda content: content["test"].append(content["train"][0]))
    notes = prepare.manifest(spec, folder.parent, tmp_path / "m.json").notes
    assert notes == ("leakage: 1 images stand in train and in test: images/banded/banded_0001.jpg",)
    for split in ("train", "val", "test"):
        rewrite_split(
            folder, lambda c, split=split: c.update({split: [[p, y, "same" if y else n] for p, y, n in c[split]]})
        )
    assert "classes that share a name cannot be told apart by text: same" in prepare.checked(spec, folder.parent).notes


def test_imagenet_with_a_flat_validation_folder(copy):
    spec, folder = copy("imagenet")
    for image in list((folder / "images" / "val").rglob("*.JPEG")):
        image.rename(folder / "images" / "val" / image.name)
    for directory in SYNSETS:
        (folder / "images" / "val" / directory).rmdir()
    message = refused(spec, folder)
    assert (
        f"{folder}/images/val: holds 12 images but no class folders: move each image into the folder of its class"
        in message
    )


@pytest.mark.parametrize(("lacking", "other"), [("train", "val"), ("val", "train")])
def test_imagenet_with_a_missing_synset_folder(copy, lacking, other):
    """The reference ranks both lists apart and shifts all later labels."""
    spec, folder = copy("imagenet")
    shutil.rmtree(folder / "images" / lacking / "n01443537")
    assert refused(spec, folder) == (
        f"{folder}/images/{lacking}: 1 class folders of {folder}/images/{other} are not there: n01443537."
    )


def test_imagenet_with_a_folder_that_is_no_synset(copy):
    spec, folder = copy("imagenet_a")
    lay_out({"new/1.jpg": picture(0)}, folder / "imagenet-a")
    assert refused(spec, folder) == f"{folder}/imagenet-a: folder 'new' is no ImageNet synset; move it away."


def test_imagenetv2_with_a_missing_number(copy):
    spec, folder = copy("imagenetv2")
    shutil.rmtree(folder / "imagenetv2-matched-frequency-format-val" / "10")
    assert refused(spec, folder).endswith("expected the folders 0 to 11; not there: 10.")


def test_an_empty_class_folder(copy):
    spec, folder = copy("imagenet_r")
    empty = folder / "imagenet-r" / "n01440764"
    shutil.rmtree(empty)
    empty.mkdir()
    assert refused(spec, folder) == f"{empty}: class folder without images; add some, or remove the folder."


def test_stray_files_are_left_out_and_told(copy):
    spec, folder = copy("imagenet_r")
    lay_out({"n01440764/Thumbs.db": b"", "n01440764/.hidden.jpg": b""}, folder / "imagenet-r")
    notes = prepare.checked(spec, folder.parent).notes
    assert notes == (
        "class names: CLIP's, as shipped by open_clip",
        "left out, no image files: imagenet-r/n01440764/Thumbs.db",
    )


def test_imagenet_names_are_clips(tmp_path):
    names = ImageNetNames.find([tmp_path / "classnames.txt"])
    expected = io.read_yaml(io.REPOSITORY / "config" / "datasets" / "imagenet.yaml")["class_list_sha256"]
    assert io.sha256_text("\n".join(names.names)) == expected
    assert (len(names.synsets), names.of("n15075141", tmp_path)) == (1000, "toilet paper")
    (tmp_path / "classnames.txt").write_text("n01440764 a tench\n")
    assert ImageNetNames.find([tmp_path / "classnames.txt"]).names == ("a tench",)
    (tmp_path / "classnames.txt").write_text("n01440764\n")
    with pytest.raises(
        UserError, match=r"""classnames.txt: cannot make sense of 'n01440764'; expected "<synset> <class"""
    ):
        ImageNetNames.find([tmp_path / "classnames.txt"])


def test_imagenet_names_that_no_library_ships(tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet_names.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"ImageNet class names: timm does not ship them; put classnames\.txt into"):
        ImageNetNames.find([])


def test_annotations_of_another_form(copy):
    spec, folder = copy("oxford_pets")
    (folder / "split_zhou_OxfordPets.json").unlink()
    lay_out({"annotations/trainval.txt": b"Abyssinian_1 one\n", "annotations/test.txt": b""}, folder)
    assert """trainval.txt: cannot make sense of 'Abyssinian_1 one'; expected "<image> <class id>""" in refused(
        spec, folder
    )


def test_aircraft_of_an_unknown_variant(copy):
    spec, folder = copy("fgvc_aircraft")
    with (folder / "images_variant_val.txt").open("a") as file:
        file.write("0034309 F/A-81\n")
    assert refused(spec, folder).endswith("unknown variant 'F/A-81' of image 0034309. Did you mean 'F/A-18'?")


def test_aircraft_lists_that_are_not_the_official_ones_are_noted(copy):
    spec, folder = copy("fgvc_aircraft")
    spec.settings["reader"]["sha256"] = {"variants.txt": "0" * 64}
    assert prepare.checked(spec, folder.parent).notes == (
        "not byte for byte the official lists, few-shot draws may differ: variants.txt",
    )
    del spec.settings["reader"]["sha256"]


def test_cars_without_test_labels(copy, server, tmp_path):
    """The public cars_test_annos.mat has no classes; it is often taken for the file with labels."""
    from tests.datasets.builders import mat

    spec, folder = copy("stanford_cars")
    (folder / "split_zhou_StanfordCars.json").unlink()
    lay_out({"devkit/cars_meta.mat": mat(class_names=["a b"]), "devkit/cars_train_annos.mat": mat(other=1)}, folder)
    assert "the test set needs cars_test_annos_withlabels.mat, not cars_test_annos.mat" in refused(spec, folder)


def test_damaged_mat_file(copy):
    spec, folder = copy("flowers102")
    (folder / "split_zhou_OxfordFlowers.json").unlink()
    lay_out({"imagelabels.mat": b"nothing", "cat_to_name.json": b"{}"}, folder)
    assert f"{folder}/imagelabels.mat: no readable MATLAB file" in refused(spec, folder)


def test_unreadable_images_are_skipped_when_told_so(copy):
    spec, folder = copy("dtd", skip_unreadable=True)
    bad = folder / "images" / "banded" / "banded_0001.jpg"
    bad.write_bytes(bad.read_bytes()[:300])
    manifest = prepare.checked(spec, folder.parent)
    assert len(manifest.splits["train"]) == 17
    assert manifest.notes == ("1 unreadable images skipped: images/banded/banded_0001.jpg",)


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
