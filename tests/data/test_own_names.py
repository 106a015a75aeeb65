"""Class names that text cannot use: the same prompt twice, codes, prompts too long; and halves of one class."""

import json

import pytest

from cocoop import io
from tests.data.command_line import per_class
from tests.data.test_own_tables import PATHS

SHARED = "classes that share a prompt cannot be told apart by text: "
CODES = "class names are codes, not words ("


def table(*names: str) -> str:
    """A table in which every class has eight pictures of its own."""
    rows = [f'{name}/{n}.jpg,"{kind}"' for name, kind in zip("abcdefgh", names, strict=False) for n in range(8)]
    return "\n".join(["path,class", *rows])


def of_classes(own, *names: str):
    """The dataset of a table with these classes."""
    own.lay_out(*per_class(*"abcdefgh"[: len(names)], number=8), labels_csv=table(*names))
    assert own.new("labels.csv").code == 0
    return own


@pytest.mark.parametrize(
    "other",
    ["Red heart", "RED HEART", "red heart ", "red  heart", "red_heart", "red heart.", "red heart!", "red&nbsp;heart", "red\theart"],
)  # fmt: skip
def test_names_with_the_same_tokens_are_noted(other, own):
    of_classes(own, "red heart", other, "blue cross", "green star")
    assert own.noted(SHARED)
    (note,) = [note for note in own.manifest().notes if note.startswith(SHARED)]
    assert set(note.removeprefix(SHARED).split(", ")) == {repr("red heart"), repr(other)}


@pytest.mark.parametrize("other", ["redheart", "red hearts", "red-heart", "heart red"])
def test_names_with_other_tokens_are_not_noted(other, own):
    of_classes(own, "red heart", other, "blue cross", "green star")
    assert not own.noted(SHARED)


def test_equal_names_given_by_hand_are_noted(own):
    of_classes(own, "cat", "dog", "cow", "emu")
    settings = own.settings
    settings["reader"]["names"] = ["crane", "x", "crane", "y"]
    own.yaml.write_text(json.dumps(settings))
    assert own.noted(f"{SHARED}'crane', 'crane'")


@pytest.mark.parametrize(
    "names",
    [("0", "1", "2", "10"), ("0.0", "1.0", "2.0", "10.0"), ("c0", "c1", "c17", "c2"), ("class_1", "class_2", "class_3"),
     ("n01440764", "n02102040", "n99999999"), ("cat", "dog", "n01440764"), ("7", "cat", "dog")],
    ids=" ".join,
)  # fmt: skip
def test_codes_are_noted_by_new_check_and_manifest(names, own):
    own.lay_out(*per_class(*"abcdefgh"[: len(names)], number=8), labels_csv=table(*names))
    assert f"note: {CODES}" in own.new("labels.csv").out
    assert own.noted(CODES)
    assert own.manifest().classnames == names
    assert own.settings["reader"]["names"] == list(names), "in order, to be written over"


@pytest.mark.parametrize("names", [("A320", "Boeing 717"), ("7 up", "cola"), ("a", "b"), ("route 66", "motorway")])
def test_words_with_numbers_are_no_codes(names, own):
    assert not of_classes(own, *names).noted(CODES)


def test_numbers_of_json_sort_by_value(own):
    rows = [{"path": path, "label": [10, 2, 0, 1][n % 4]} for n, path in enumerate(PATHS)]
    own.lay_out(*PATHS, x_json=json.dumps(rows))
    assert own.new().code == 0
    assert own.manifest().classnames == ("0", "1", "2", "10")


@pytest.mark.parametrize("layout", ["", "train/ val/", "images/"])
def test_synset_folders_get_their_names(layout, own):
    synsets = ("n01440764", "n02102040", "n03000684", "n03888257")
    own.lay_out(*(f"{part}{path}" for part in layout.split() or [""] for path in per_class(*synsets)))
    assert "note: class names: those of ImageNet's synsets (n01440764 is 'tench')" in own.new().out
    assert own.manifest().classnames == ("tench", "English Springer Spaniel", "chainsaw", "parachute")
    assert not own.noted(CODES)


@pytest.mark.parametrize(("count", "halves"), [(2, "each half (base and new) has"), (3, "the new half has")])
def test_a_half_with_one_class_is_noted(count, halves, own):
    own.lay_out(*per_class(*"abcde"[:count]))
    words = f"with {count} classes {halves} one class, which cannot be confused with any other"
    assert f"note: {words}" in own.new().out
    assert own.noted(words)


@pytest.mark.parametrize("count", [4, 5])
def test_halves_of_more_classes_are_not_noted(count, own):
    own.lay_out(*per_class(*"abcde"[:count]))
    assert own.new().code == 0
    assert not own.noted("by definition")


@pytest.mark.parametrize(("number", "few"), [(30, True), (31, True), (32, False)])
def test_classes_with_fewer_images_than_shots_are_noted(number, few, own):
    own.lay_out(*per_class("cat", number=number), *per_class("dog", "cow", "emu", number=40))
    assert own.new().code == 0
    assert own.noted("1 class has fewer than 16 training images (fewest: 'cat' with ") == (number < 31)


def long_name(words: int) -> str:
    return " ".join(["word"] * words)


def test_a_prompt_with_too_many_tokens_stops_the_manifest(own):
    """`a photo of a NAME.` has seven tokens without the name."""
    of_classes(own, "cat", "dog", "cow", long_name(71))
    said = own.check()
    problem = f"1 prompt has more than 77 tokens, the limit of CLIP's text encoder: '{long_name(20)[:60]}'... (354 characters) (78)"
    assert said.code == 2 and f"problem: {problem}" in said.out
    assert said.err.splitlines()[-1] == "error: dataset 'own': 1 problem, listed above."
    said = own.stage()
    assert said.code == 2 and said.err.startswith(f"error: dataset 'own': {problem}; write shorter `names:`")
    assert len(said.err) < 300 and not (own.folder / "manifest.json").exists()
    assert long_name(20) not in own.check().out


def test_a_prompt_of_just_enough_tokens_is_fine(own):
    of_classes(own, "cat", "dog", "cow", long_name(70))
    assert own.check().code == 0 and own.stage().code == 0


def test_new_reports_a_long_name_and_where_to_shorten_it(own):
    own.lay_out(*per_class(*"abcd", number=8), labels_csv=table("cat", "dog", "cow", long_name(90)))
    assert "note: 1 prompt has more than 77 tokens" in own.new("labels.csv").out
    settings = own.settings
    settings["reader"]["names"][3] = "a word"
    own.yaml.write_text(json.dumps(settings))
    assert own.check().code == 0 and own.stage().code == 0


def test_a_template_that_is_too_long(own):
    own.lay_out(*per_class(*"abcd"))
    assert own.new(template=f"{long_name(80)} {{}}.").code == 0
    assert own.check().code == 2
    assert "4 prompts have more than 77 tokens" in own.stage().err


def test_a_name_of_100_000_letters_is_handled_quickly(own):
    rows = [f"{name}/{n}.jpg,{'x' * 100_000 if name == 'a' else name}" for name in "abcd" for n in range(8)]
    own.lay_out(*per_class(*"abcd", number=8), labels_csv="\n".join(["path,class", *rows]))
    said = own.new("labels.csv")
    assert said.code == 0 and len(said.out) < 2000
    assert own.check().code == 2 and own.stage().code == 2


def test_an_empty_name_is_noted(own):
    own.lay_out(*per_class(*"abcd"))
    assert own.new().code == 0
    settings = own.settings
    settings["reader"]["names"][1] = "_"
    own.yaml.write_text(json.dumps(settings))
    assert own.noted("1 class has an empty name")


def test_notes_are_a_list_of_lines_in_the_manifest(own):
    of_classes(own, "red heart", "red_heart", "7")
    own.manifest()
    notes = io.read_json(own.folder / "manifest.json", "manifest")["notes"]
    assert len(notes) == 4 and all(isinstance(note, str) and "\n" not in note for note in notes)


def test_the_manifest_needs_no_torch(own):
    import subprocess
    import sys

    of_classes(own, "red heart", "red_heart", "cat", "dog")
    own.manifest()
    words = [
        "manifest", "--dataset", io.canonical_json({"name": "own", "settings": own.settings}), "--data-root", "data",
        "--out", "again.json",
    ]  # fmt: skip
    code = f"import sys; from cocoop.cli import main; assert main({words!r}) == 0; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(io.REPOSITORY)}).returncode == 0
    assert (own.folder / "again.json").read_bytes() == (own.folder / "manifest.json").read_bytes()
