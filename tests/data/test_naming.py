"""Names: of datasets made from folders, and names too long for a message."""

import json

import pytest

from tests.data.builders import lay_out, picture

CLASSES = {f"{kind}/{number}.jpg": picture(number) for kind in ("cat", "dog") for number in range(10)}


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("birds", "birds"),
        ("My Photos", "my_photos"),
        ("birds.v2", "birds_v2"),
        (".hidden", "hidden"),
        ("  spaces  ", "spaces"),
        ("Straße-Café", "strasse_cafe"),
        ("水果 fruit", "fruit"),
        ("x" * 100, "x" * 60),
    ],
)
def test_a_folder_gives_its_dataset_a_plain_name(folder, name, workplace, tmp_path):
    lay_out(CLASSES, tmp_path / folder)
    code, printed = workplace.run("dataset", "new", tmp_path / folder)
    assert code == 0 and f"python -m cocoop dataset check {name}\n" in printed
    assert (tmp_path / "config" / "datasets" / f"{name}.yaml").exists()


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        (
            "水果",
            "its name has no letters from a to z, so it cannot name the dataset; add --name, for example --name my_pictures",
        ),
        ("фрукты", "for example --name my_pictures."),
        ("...!", "its name has no letters from a to z"),
        (
            "2024",
            "its name starts with a digit, so it cannot name the dataset; add --name, for example --name data_2024.",
        ),
        ("2024 birds", "for example --name data_2024_birds."),
    ],
)
def test_an_unsuitable_folder_name_suggests_a_valid_one(folder, told, workplace, tmp_path):
    lay_out(CLASSES, tmp_path / folder)
    assert told in workplace.refused("dataset", "new", tmp_path / folder)
    suggested = told.rstrip(".").rpartition("--name ")[2] if "--name " in told else "mine"
    assert workplace.run("dataset", "new", tmp_path / folder, "--name", suggested)[0] == 0


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("", "my_pictures"),
        ("My-Data", "my_data"),
        ("水果", "my_pictures"),
        ("1st", "data_1st"),
        ("..", "my_pictures"),
        ("a/b", "a_b"),
        ("y" * 61, "y" * 60),
    ],
)
def test_a_name_that_cannot_be_gets_one_that_can(name, suggested, workplace, tmp_path):
    lay_out(CLASSES, tmp_path / "birds")
    line = workplace.refused("dataset", "new", tmp_path / "birds", "--name", name)
    assert "use at most 60 lower-case letters, digits and underscores, a letter first" in line
    assert line.endswith(f"for example --name {suggested}.")
    assert workplace.run("dataset", "new", tmp_path / "birds", "--name", suggested)[0] == 0


def test_a_folder_that_does_not_exist_is_named_first(workplace, tmp_path):
    assert workplace.refused("dataset", "new", tmp_path / "水果") == f"error: {tmp_path}/水果: no such file or folder."


def test_a_name_that_begins_with_a_tilde_is_a_home_or_a_file(workplace, tmp_path):
    assert "~birds: no such file or folder, and no home folder '~birds' either" in workplace.refused(
        "dataset", "new", "~birds"
    )
    lay_out(CLASSES, tmp_path / "~birds")
    assert workplace.run("dataset", "new", "~birds")[0] == 0


def test_an_endless_class_name_is_shortened_in_messages(workplace, tmp_path):
    long = "very " * 400 + "large"
    rows = {"train": [["cat/0.jpg", 0, long], ["dog/0.jpg", 0, "dog"]], "val": [], "test": [["dog/1.jpg", 0, "dog"]]}
    lay_out(CLASSES | {"split.json": json.dumps(rows).encode()}, tmp_path / "birds")
    line = workplace.refused("dataset", "new", tmp_path / "birds" / "split.json", "--name", "birds")
    assert f"label 0 has two class names, {long[:60]!r}... (2005 characters) and 'dog'" in line and len(line) < 400


def test_an_empty_folder_is_reported_as_empty(workplace, tmp_path):
    (tmp_path / "birds").mkdir()
    assert workplace.refused("dataset", "new", tmp_path / "birds").endswith("it contains nothing.")
