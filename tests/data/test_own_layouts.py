"""Folders of pictures as people have them: taken as what they are, or refused with what lacks; nothing goes unsaid."""

import pytest

from cocoop.data.readers.base import images_below
from tests.data.command_line import per_class

LOST = "left out: "


def sizes(own) -> dict[str, int]:
    return {split: len(items) for split, items in own.manifest().splits.items()}


@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
def test_train_and_val_without_test(val, own):
    own.lay_out(*(f"{part}/{path}" for part in ("train", val) for path in per_class("cat", "dog")))
    words = "the test images are the validation set (there is no test set with labels), and there is no val split"
    assert f"note: {words}" in own.new().out
    assert own.noted(words)
    assert sizes(own) == {"train": 20, "val": 0, "test": 20}


@pytest.mark.parametrize("outer", ["", "archive/"])
def test_a_folder_train_beside_classes_may_be_one_of_them(outer, own):
    own.lay_out(*(f"{outer}{path}" for path in per_class("bus", "car", "train/diesel", "train/steam")))
    inside = own.pictures / outer
    assert own.refused() == (
        f"error: {inside}: cannot tell whether train holds the training images, or is a class like bus, car."
        f" If it holds them, give {inside / 'train'}; if it is a class, move the images in its folders up into it."
    )
    assert own.new(f"{outer}train").code == 0
    assert own.settings["reader"]["names"] == ["diesel", "steam"]


@pytest.mark.parametrize("with_val", [True, False])
def test_a_test_folder_without_labels(with_val, own):
    parts = ["train", "val"] if with_val else ["train"]
    own.lay_out(*(f"{part}/{path}" for part in parts for path in per_class("cat", "dog")), "test/1.jpg", "test/2.jpg")
    said = own.new().out
    assert "note: left out: 1 folder: test (2 images, 0 other files)" in said
    assert ("no test folder with class folders: train is split" in said) != with_val
    assert sizes(own) == ({"train": 20, "val": 0, "test": 20} if with_val else {"train": 10, "val": 4, "test": 6})


def test_train_val_and_test_stay_what_they_are(own):
    own.lay_out(*(f"{part}/{path}" for part in ("train", "val", "test") for path in per_class("cat", "dog")))
    assert LOST not in own.new().out
    assert sizes(own) == {"train": 20, "val": 20, "test": 20}


def test_an_unrelated_table_next_to_class_folders(own):
    own.lay_out(*per_class("daisy", "rose"), class_sizes_csv="name,count\ndaisy,10\nrose,10\n")
    assert "note: left out: class_sizes.csv" in own.new().out
    assert own.manifest().classnames == ("daisy", "rose")


@pytest.mark.parametrize("text", ["id,name\n1,daisy\n2,rose\n", "{", "daisy;10\n"])
def test_other_tables_next_to_class_folders(text, own):
    own.lay_out(*per_class("daisy", "rose"), classes_csv=text)
    assert "note: left out: classes.csv" in own.new().out
    assert own.manifest().classnames == ("daisy", "rose")


def test_a_table_that_lists_the_class_folders_wins(own):
    rows = [f"{path},{'plant' if path < 'rose/5' else 'thorn'}" for path in per_class("daisy", "rose")]
    own.lay_out(*per_class("daisy", "rose"), labels_csv="\n".join(["path,class", *rows]))
    assert own.new().code == 0
    assert own.manifest().classnames == ("plant", "thorn")


@pytest.mark.parametrize(
    "extra",
    [["cat/more", "dog/more"], ["cat/more/and/more"], ["cat/2020", "cat/2021", "dog/2020"]],
    ids=["both", "three deep", "years"],
)
def test_images_in_subfolders_of_class_folders_are_used(extra, own):
    own.lay_out(*per_class("cat", "dog", number=8), *per_class(*extra, number=8))
    assert LOST not in own.new().out
    found = own.manifest()
    assert found.classnames == ("cat", "dog")
    assert sum(map(len, found.splits.values())) == 16 + 8 * len(extra)
    assert all(item.path.startswith(found.classnames[item.label]) for items in found.splits.values() for item in items)


def test_class_folders_that_hold_one_folder_each(own):
    own.lay_out(*per_class("cat/images", "dog/images"))
    assert own.new().code == 0
    assert own.manifest().classnames == ("cat", "dog")


def test_a_link_that_leads_back_up_is_left_out_and_counted(own):
    own.lay_out(*per_class("cat", "dog"))
    (own.pictures / "cat/again").symlink_to("..")
    assert "left out: 1 file that is not an image: cat/again" in own.new().out
    assert sum(sizes(own).values()) == 20


def test_images_one_level_too_deep_are_reported(own):
    own.lay_out(*per_class("cat/bengal", "cat/birman", "dog/pug", "dog/boxer"))
    assert (
        "its images lie 2 folders deep (cat/bengal/0.jpg), and class folders hold images themselves." in own.refused()
    )


@pytest.mark.parametrize("outer", ["images", "archive/images", "data/birds/pictures"])
def test_class_folders_inside_a_single_folder(outer, own):
    own.lay_out(*(f"{outer}/{path}" for path in per_class("cat", "dog")))
    (own.pictures / "README.md").write_text("birds")
    assert f"note: the classes are the folders in {outer}" in own.new().out
    assert own.settings["reader"]["images"] == outer
    assert own.manifest().classnames == ("cat", "dog")


def test_train_and_test_inside_a_single_folder(own):
    own.lay_out(*(f"archive/{part}/{path}" for part in ("train", "test") for path in per_class("cat", "dog")))
    assert own.new().code == 0
    assert own.settings["reader"]["train"] == "archive/train"
    assert sizes(own) == {"train": 20, "val": 0, "test": 20}


def test_everything_left_out_is_named_with_a_count(own):
    own.lay_out(*per_class("cat", "dog"), "single.jpg")
    for name in ("cat/notes.txt", "cat/x.heic", "raw/a.heic", "raw/b.heic"):
        (own.pictures / name).parent.mkdir(exist_ok=True)
        (own.pictures / name).write_bytes(b"x")
    (own.pictures / "empty").mkdir()
    said = own.new().out
    assert "note: left out: 2 folders: empty (0 images, 0 other files), raw (0 images, 2 other files)" in said
    assert "note: left out: 1 image beside the folders: single.jpg" in said
    assert "note: left out: 2 files that are not images: cat/notes.txt, cat/x.heic" in said
    assert own.noted("left out: 2 files that are not images: cat/notes.txt, cat/x.heic")


def test_a_class_folder_of_files_of_another_kind(own):
    own.lay_out(*per_class("cat", "dog"))
    assert own.new().code == 0
    (own.pictures / "emu").mkdir()
    for name in ("a.heic", "b.HEIC", "c"):
        (own.pictures / "emu" / name).write_bytes(b"x")
    said = own.stage()
    assert said.code == 2
    assert (
        "emu: class folder without images; its 3 files are of other kinds (2 '.heic', 1 'no suffix'): convert"
        in said.err
    )


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (
            ["1.jpg", "2.jpg"],
            "2 images but no class folders: move each image into the folder of its class, or list them",
        ),
        (per_class("cat"), "only one class folder with images, cat (10 images); a dataset needs two or more"),
        ([f"train/{n}.jpg" for n in range(3)], "only one class folder with images, train (3 images)"),
        ([], "found neither class folders with images, nor train and test folders, nor a table of images"),
        ([*per_class("train/cat", "test/cat", "test/dog")], "test: 1 class that train does not have: dog"),
        (
            [*per_class("cat", number=1), *per_class("dog")],
            "class 'cat' has 1 image, too few for a split into 50% train",
        ),
    ],
    ids=["flat", "one class", "flat train", "nothing", "test has more classes", "one image"],
)
def test_folders_that_are_no_dataset(paths, told, own):
    own.pictures.mkdir()
    own.lay_out(*paths)
    assert told in own.refused()


@pytest.mark.parametrize(("number", "parts"), [(2, (1, 0, 1)), (3, (2, 0, 1)), (4, (2, 1, 1))])
def test_very_few_images_a_class_are_split_in_halves(number, parts, own):
    own.lay_out(*per_class("cat", "dog", number=number))
    assert ("split in halves, without val" in own.new().out) == (parts[1] == 0)
    assert sizes(own) == {split: 2 * part for split, part in zip(("train", "val", "test"), parts, strict=True)}


def test_pictures_come_in_the_order_of_torchvision(own):
    from torchvision.datasets import ImageFolder

    own.lay_out(*per_class("cat", "cat/b", "cat/a b", "cat/a", "cat/a/c", "dog", number=12))
    listed = [f"{own.pictures}/{item}" for item in images_below(own.pictures / "cat")[0]]
    expected = [path for path, label in ImageFolder(own.pictures).samples if label == 0]
    assert [path.replace("pictures/", "pictures/cat/", 1) for path in listed] == expected
