"""Split files and annotations that are absent, damaged, or of another form."""

from cocoop.data import prepare
from tests.data.builders import lay_out
from tests.data.refusal import refused
from tests.data.tiny import apart_from_size


def test_neither_split_file_nor_annotations(copy):
    spec, folder = copy("oxford_pets")
    (folder / "split_zhou_OxfordPets.json").unlink()
    message = refused(spec, folder)
    assert f"{folder}/split_zhou_OxfordPets.json: missing; download the dataset, or put the file there." in message
    assert f"The split cannot be recreated either: {folder}/annotations/trainval.txt: missing" in message


def test_damaged_split_files(copy):
    spec, folder = copy("dtd")
    path = folder / "split_zhou_DescribableTextures.json"
    whole = path.read_text()
    for damaged, told in (
        (whole[:100], "not valid JSON"),
        ("[]", "not a split file: expected an object with the lists train, val and test"),
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


def test_annotations_of_another_form(copy):
    spec, folder = copy("oxford_pets")
    (folder / "split_zhou_OxfordPets.json").unlink()
    lay_out({"annotations/trainval.txt": b"Abyssinian_1 one\n", "annotations/test.txt": b""}, folder)
    assert """trainval.txt: invalid line 'Abyssinian_1 one'; expected "<image> <class id>""" in refused(spec, folder)


def test_aircraft_of_an_unknown_variant(copy):
    spec, folder = copy("fgvc_aircraft")
    with (folder / "images_variant_val.txt").open("a") as file:
        file.write("0034309 F/A-81\n")
    assert refused(spec, folder).endswith("unknown variant 'F/A-81' of image 0034309. Did you mean 'F/A-18'?")


def test_aircraft_lists_that_are_not_the_official_ones_are_noted(copy):
    spec, folder = copy("fgvc_aircraft")
    spec.settings["reader"]["sha256"] = {"variants.txt": "0" * 64}
    assert apart_from_size(prepare.checked(spec, folder.parent).notes) == (
        "not byte for byte the official lists, few-shot draws may differ: variants.txt",
    )
    del spec.settings["reader"]["sha256"]


def test_cars_without_test_labels(copy, server, tmp_path):
    """The public cars_test_annos.mat has no classes; it is often taken for the file with labels."""
    from tests.data.builders import mat

    spec, folder = copy("stanford_cars")
    (folder / "split_zhou_StanfordCars.json").unlink()
    lay_out({"devkit/cars_meta.mat": mat(class_names=["a b"]), "devkit/cars_train_annos.mat": mat(other=1)}, folder)
    assert "the test set needs cars_test_annos_withlabels.mat, not cars_test_annos.mat" in refused(spec, folder)


def test_damaged_mat_file(copy):
    spec, folder = copy("flowers102")
    (folder / "split_zhou_OxfordFlowers.json").unlink()
    lay_out({"imagelabels.mat": b"nothing", "cat_to_name.json": b"{}"}, folder)
    assert f"{folder}/imagelabels.mat: not a readable MATLAB file" in refused(spec, folder)
