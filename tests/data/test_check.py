"""`dataset check`, `dataset new`, `dataset list`: what a user sees."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cocoop import io
from cocoop.cli import main
from cocoop.config.specs import DatasetSpec
from cocoop.config.validation import validate
from cocoop.data import prepare
from cocoop.data.check import report
from cocoop.data.listing import table
from cocoop.data.new import write_yaml
from cocoop.errors import UserError
from tests.data.builders import lay_out, picture, split_file
from tests.data.tiny import DATASETS, shipped

SPLIT = {"train": 0.5, "val": 0.2, "test": 0.3, "seed": 1}
OWN = SPLIT | {"duplicates": "together"}
TREE = {f"{name}/{n}.jpg": picture(n + 100 * len(name)) for name in ("cat", "horse") for n in range(10)}


def own(tmp_path, tree=TREE, **keys):
    lay_out(tree, tmp_path / "own")
    settings = {"title": "Own", "template": "a {}.", "reader": {"kind": "image_folder", "split": SPLIT}}
    return DatasetSpec("own", settings | keys)


def test_report_of_a_good_dataset(tmp_path):
    text = report(own(tmp_path), tmp_path, tmp_path / "sheet.png", tokenize=lambda prompt: [1, *prompt.encode(), 2])
    assert text.splitlines() == [
        f"dataset own (Own) in {tmp_path}/own",
        "classes: 2: cat, horse",
        "train: 10 images, 5 to 5 per class; smallest class: 'cat' with 5",
        "val: 4 images, 2 to 2 per class; smallest class: 'cat' with 2",
        "test: 6 images, 3 to 3 per class; smallest class: 'cat' with 3",
        "note: with 2 classes each half (base and new) has one class, which cannot be confused with any other: base-to-new"
        " accuracy there is 100% by definition",
        "note: 2 classes have fewer than 16 training images (fewest: 'cat' with 5); with more shots than that, training uses"
        " all images of such a class",
        "counts: no published numbers to compare with",
        "unreadable images: none",
        "duplicates across splits: none",
        "prompts: 8 to 10 tokens, start and end included; longest: 'a horse.'",
        "  'a cat.': 8 tokens [1, 97, 32, 99, 97, 116, 46, 2]",
        "  'a horse.': 10 tokens [1, 97, 32, 104, 111, 114, 115, 101, 46, 2]",
        "ensemble: 8 templates (config/templates/imagenet_7.txt and the template, as the dataset has no `ensemble:`)",
        f"contact sheet: {tmp_path}/sheet.png",
    ]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (240 + 8 * 100, 2 * 100 + 4)
        assert len(sheet.resize((sheet.width // 10, sheet.height // 10)).getcolors(10_000)) > 10, "it shows pictures"


def test_report_of_problems(tmp_path):
    tree = dict(TREE)
    for n in range(10):  # every horse is the same picture, so it stands in all splits
        tree[f"horse/{n}.jpg"] = tree["horse/0.jpg"]
    tree["cat/3.jpg"] = tree["cat/3.jpg"][:400]
    text = report(own(tmp_path, tree, sizes={"train": 11, "val": 4, "test": 6}), tmp_path, tmp_path / "sheet.png")
    assert "problem: number of images in" in text and "train 10 (published 11)" in text
    assert "problem: 1 unreadable image; replace them, or set `skip_unreadable: true`" in text
    assert f"  {tmp_path}/own/cat/3.jpg: unreadable image (" in text
    assert "problem: leakage: 1 image occurs with the same content in two splits; write `duplicates: together` " in text
    assert "horse/0.jpg (" in text and " = horse/1.jpg (" in text
    assert "prompts: 'a cat.', 'a horse.'" in text


def test_an_image_listed_in_two_splits_is_a_problem(tmp_path):
    rows = [("cat/0.jpg", "train"), ("cat/1.jpg", "train"), ("cat/0.jpg", "test"), ("cat/2.jpg", "test")]
    rows += [(path.replace("cat", "horse"), split) for path, split in rows[1::2]]
    table = "path,class,split\n" + "".join(f"{path},{path.split('/')[0]},{split}\n" for path, split in rows)
    spec = own(tmp_path, TREE | {"list.csv": table.encode()}, reader={"kind": "listing", "file": "list.csv"})
    lines = report(spec, tmp_path).splitlines()
    place = lines.index("problem: leakage: 1 image occurs with the same content in two splits:")
    assert lines[place + 1] == "  cat/0.jpg (train, test)"
    assert "duplicates across splits: none" not in lines
    (tmp_path / "own/cat/1.jpg").write_bytes((tmp_path / "own/cat/0.jpg").read_bytes())
    lines = report(spec, tmp_path).splitlines()
    assert lines.count("problem: leakage: 1 image occurs with the same content in two splits:") == 1
    assert "  cat/0.jpg (train, test) = cat/1.jpg (train)" in lines


def check_prompts(tmp_path, **keys) -> list[str]:
    """What `dataset check` says about the prompts besides the template, with one token for each byte."""
    text = report(own(tmp_path, **keys), tmp_path, tokenize=lambda prompt: [1, *prompt.encode(), 2])
    words = ("ensemble: ", "descriptions: ")
    return [
        line for line in text.splitlines() if line.removeprefix("problem: ").removeprefix("note: ").startswith(words)
    ]


def test_report_of_ensemble_and_descriptions(tmp_path):
    file = tmp_path / "own.json"
    file.write_text(
        json.dumps({"Cat": ["It has fur.", "It has claws."], "horse": ["It has hooves."], "cow": ["Horns."]})
    )
    assert check_prompts(tmp_path, ensemble=["a {}.", "the {}."], descriptions=str(file)) == [
        "ensemble: 2 templates (in config/datasets/own.yaml)",
        f"descriptions: 3 sentences, 1 to 2 for each class ({file})",
        "note: descriptions: 1 name matches no class: cow",
    ]
    assert check_prompts(tmp_path, ensemble="config/templates/imagenet_80.txt") == [
        "ensemble: 80 templates (config/templates/imagenet_80.txt)"
    ]


def test_report_of_prompts_that_cannot_be_used(tmp_path):
    file, long = tmp_path / "own.json", "very " * 20
    file.write_text(json.dumps({"cat": ["It has fur.", f"a {long}furry thing"], "horse": ["It has hooves."]}))
    found = check_prompts(tmp_path, ensemble=[f"a {long}big {{}}."], descriptions=str(file))
    assert found[1].startswith(
        "problem: ensemble: 2 prompts have more than 77 tokens, the limit of CLIP's text encoder: 'a very "
    )
    assert found[3].startswith("problem: descriptions: 1 prompt has more than 77 tokens") and found[3].endswith(
        "; shorten them"
    )
    file.write_text(json.dumps({"cat": ["It has fur."]}))
    assert check_prompts(tmp_path, descriptions=str(file))[1:] == [
        f"problem: descriptions: {file}: 1 class has no sentences: horse; add them under the dataset's class names."
    ]
    gone = str(tmp_path / "gone.txt")
    text = report(own(tmp_path, ensemble=gone), tmp_path)
    assert f"problem: config/datasets/own.yaml: ensemble: cannot read {gone}" in text


def test_report_with_missing_images(tiny_dataset, tmp_path):
    spec, data_root = tiny_dataset("dtd")
    settings = {**spec.settings, "reader": spec.settings["reader"] | {"images": "elsewhere"}}
    text = report(DatasetSpec("dtd", settings), data_root)
    assert "problem: 36 of 36 images are missing; first: elsewhere/banded/banded_0001.jpg" in text


def test_report_of_replaced_images(tmp_path):
    """The workflow does not look at every image; a manifest tells them apart by size, so nothing made of the old ones fits."""
    spec, path = own(tmp_path), tmp_path / "manifest.json"
    assert report(spec, tmp_path, manifest=path) == report(spec, tmp_path)
    before = prepare.manifest(spec, tmp_path, path)
    assert report(spec, tmp_path, manifest=path) == report(spec, tmp_path)
    lay_out({"cat/3.jpg": picture(7, "PNG")}, tmp_path / "own")
    assert (
        f"problem: images were replaced by others of the same names, or are missing, since {path} was made"
        in report(spec, tmp_path, manifest=path)
    )
    now = prepare.manifest(spec, tmp_path, path)
    assert now.splits == before.splits and now.fingerprint != before.fingerprint
    assert report(spec, tmp_path, manifest=path) == report(spec, tmp_path)


def test_skipped_images_are_noted_and_sheets_fit_many_classes(tmp_path):
    tree = {f"{name:03d}/{n}.jpg": picture(name * 10 + n) for name in range(30) for n in range(4)}
    tree["000/0.jpg"] = b"no image"
    spec = own(tmp_path, tree, skip_unreadable=True)
    text = report(spec, tmp_path, tmp_path / "sheet.png")
    assert "note: 1 unreadable image; they are skipped (skip_unreadable)" in text
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height == 24 * 100 + 4


def test_contact_sheet_must_be_a_png(tmp_path):
    with pytest.raises(UserError, match=r"sheet\.jpg: a contact sheet is a PNG file"):
        report(own(tmp_path), tmp_path, tmp_path / "sheet.jpg")


@pytest.mark.parametrize(
    ("tree", "path", "reader"),
    [
        (TREE, "", {"kind": "image_folder", "split": OWN, "names": ["cat", "horse"]}),
        (
            TREE | {"docs/a.txt": b""},
            "",
            {"kind": "image_folder", "ignore": ["docs"], "split": OWN, "names": ["cat", "horse"]},
        ),
        (
            {f"{part}/{name}": content for part in ("Train", "valid", "test") for name, content in TREE.items()},
            "",
            {"kind": "folders", "train": "Train", "val": "valid", "test": "test", "names": ["cat", "horse"]},
        ),
        (
            TREE | {"labels.csv": ("filename,label\n" + "".join(f"{p},{p[:3]}\n" for p in TREE)).encode()},
            "",
            {"kind": "listing", "file": "labels.csv", "columns": {"path": "filename", "class": "label"}, "split": OWN},
        ),
        (
            TREE | {"a.json": b'[{"path": "cat/1.jpg", "class": "cat", "split": "test"}, {"path": "cat/2.jpg", "class": "cat",'
                    b' "split": "train"}, {"path": "cat/3.jpg", "class": "c", "split": "train"}]', "b.csv": b"x\n"},
            "a.json",
            {"kind": "listing", "file": "a.json"},
        ),
        (
            TREE | {"split.json": split_file({n: [f"{n}/{i}.jpg" for i in range(10)] for n in ("cat", "horse")}, {})},
            "",
            {"kind": "coop_split", "file": "split.json"},
        ),
    ],
    ids=["class folders", "a folder without images", "split folders", "csv", "json", "split file"],
)  # fmt: skip
def test_new_writes_a_yaml_that_works(tree, path, reader, tmp_path):
    lay_out(tree, tmp_path / "my photos")
    out, _ = write_yaml(tmp_path / "my photos" / path, "mine", "a photo of a {}.", "Mine", tmp_path / "config")
    assert out == tmp_path / "config" / "mine.yaml"
    settings = io.read_yaml(out)
    assert settings["reader"] == reader and settings["link"] == str(tmp_path / "my photos")
    validate(settings, "dataset", "mine.yaml")
    spec = DatasetSpec("mine", settings)
    assert report(spec, tmp_path / "data").startswith("dataset mine (Mine) in")
    prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
    assert prepare.manifest(spec, tmp_path / "data", tmp_path / "m.json").splits["test"]


@pytest.mark.parametrize(
    ("name", "path", "keys", "told"),
    [
        (
            "My-Data",
            "mine",
            {},
            r"dataset name 'My-Data': use at most 60 lower-case letters, digits and underscores, a letter first",
        ),
        (
            "mine",
            "mine",
            {"template": "a photo"},
            r"template 'a photo': expected exactly one \{\} for the class name",
        ),
        ("mine", "gone", {}, r"gone: no such file or folder"),
        ("taken", "mine", {}, r"taken\.yaml: already exists; use another --name, or delete it"),
        (
            "mine",
            "flat",
            {},
            r"flat: 1 image but no class folders: move each image into the folder of its class, or list them in a CSV",
        ),
        ("mine", "x.csv", {}, r"x\.csv: cannot tell which column is the class; columns: path, what; call it 'class'\."),
        ("mine", "x.json", {}, r"x\.json: not valid JSON"),
        ("mine", "x.txt", {}, r"x\.txt: expected a folder or a table \(\.csv, \.tsv, .*\); save it as CSV"),
    ],
)
def test_new_that_cannot_be(name, path, keys, told, tmp_path):
    lay_out({"mine/cat/1.jpg": b"", "mine/dog/1.jpg": b"", "flat/1.jpg": b"", "config/taken.yaml": b""}, tmp_path)
    lay_out({"x.csv": b"path,what\n1.jpg,x\n", "x.json": b"[", "x.txt": b""}, tmp_path)
    with pytest.raises(UserError, match=told):
        write_yaml(tmp_path / path, name, folder=tmp_path / "config", **keys)
    assert [entry.name for entry in (tmp_path / "config").iterdir()] == ["taken.yaml"]


def test_list_shows_every_dataset_on_a_line(tmp_path):
    specs = [DatasetSpec(name, shipped(name)) for name in ("imagenet", "oxford_pets", "ucf101")]
    specs.append(own(tmp_path))
    (tmp_path / "ucf101").mkdir()
    lines = table(specs, tmp_path).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["name", "imagenet", "oxford_pets", "ucf101", "own"]
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
    assert cells[0] == ["name", "title", "classes", "train", "val", "test", "download", "login", "present", "licence"]
    assert cells[1][:9] == ["imagenet", "ImageNet", "1000", "1281167", "-", "50000", "by hand", "yes", "no"]
    assert cells[2][:9] == ["oxford_pets", "OxfordPets", "37", "2944", "736", "3669", "793 MB", "no", "no"]
    assert cells[3][6:9] == ["2 MB + ?", "no", "incomplete"]
    assert cells[4][2:9] == ["?", "-", "-", "-", "by hand", "no", "yes"]


def test_every_shipped_file_passes_the_schema_and_is_listed():
    names = [path.stem for path in sorted(DATASETS.glob("*.yaml"))]
    for name in names:
        validate(shipped(name), "dataset", name)
    assert len(table([DatasetSpec(n, shipped(n)) for n in names], Path("nowhere")).splitlines()) == len(names) + 1


def test_a_misspelt_key_is_refused_with_the_right_one():
    with pytest.raises(UserError, match=r"own: top level: unknown key 'tempalte'; known: .*Did you mean 'template'\?"):
        validate(shipped("dtd") | {"tempalte": "x"}, "dataset", "own")
    settings = shipped("dtd")
    settings["reader"] = {"kind": "image_folder", "image": "x", "split": SPLIT}
    with pytest.raises(UserError, match=r"own: reader: unknown key 'image'; known: .*Did you mean 'images'\?"):
        validate(settings, "dataset", "own")


@pytest.fixture
def config_of_two(tmp_path, monkeypatch):
    """A working folder with two datasets: `known` has classes that the bundled tiny CLIP knows, `clothes` has not."""
    shutil.copytree(io.REPOSITORY / "config", tmp_path / "config")
    for name, classnames in (("known", ("red circle", "blue square")), ("clothes", ("Shirt", "Pullover"))):
        lay_out(
            {f"{c}/{n}.jpg": picture(n + 100 * len(c)) for c in classnames for n in range(10)}, tmp_path / "data" / name
        )
        settings = {"title": name, "template": "a photo of a {}.", "reader": {"kind": "image_folder", "split": SPLIT}}
        (tmp_path / "config/datasets" / f"{name}.yaml").write_text(json.dumps(settings))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "config"


SAME = (
    "problem: the backbone tiny gives 2 of 2 classes of clothes the same text feature as another class (Pullover = Shirt): "
    "zero-shot, it cannot tell them apart, so results on them mean little"
)


@pytest.mark.parametrize("words", [[], ["--backbone", "tiny"]])
def test_check_reports_classes_with_equal_text_features(words, config_of_two, capsys):
    assert main(["dataset", "check", "known", *words]) == 0
    assert "text features: the backbone tiny tells all 2 classes apart" in capsys.readouterr().out.splitlines()
    assert main(["dataset", "check", "clothes", *words]) == 2
    assert SAME in capsys.readouterr().out.splitlines()


def test_check_loads_no_backbone_whose_weights_are_a_tag(config_of_two, capsys):
    path = config_of_two / "config.yaml"
    path.write_text(path.read_text().replace("backbone: tiny", "backbone: vit_b16"))
    assert main(["dataset", "check", "clothes"]) == 0
    assert "backbone" not in capsys.readouterr().out


def test_check_refuses_a_backbone_nobody_knows(config_of_two, capsys):
    assert main(["dataset", "check", "clothes", "--backbone", "tiney"]) == 2
    assert "unknown backbone 'tiney'; known: " in capsys.readouterr().err


def test_check_continues_if_a_backbone_does_not_load(config_of_two, capsys):
    (config_of_two / "broken.pt").write_bytes(b"hello")
    content = {"label": "x", "model": "RN50", "pretrained": str(config_of_two / "broken.pt")}
    (config_of_two / "backbones/broken.yaml").write_text(json.dumps(content))
    assert main(["dataset", "check", "clothes", "--backbone", "broken"]) == 2
    out = capsys.readouterr().out
    assert f"problem: {config_of_two / 'broken.pt'}: corrupt, or not a checkpoint" in out and "contact sheet:" in out
