"""The shipped dataset files and their schema."""

import subprocess
import sys

import pytest

from cocoop import io
from cocoop.data.readers import KINDS
from tests.data.tiny import DATASETS, SIZES, shipped

SCHEMA = io.read_yaml(io.REPOSITORY / "workflow" / "schemas" / "dataset.schema.yaml")
# Sizes of train, val and test as printed in the CoOp paper's table of datasets.
PUBLISHED = {
    "imagenet": (1281167, None, 50000),
    "caltech101": (4128, 1649, 2465),
    "oxford_pets": (2944, 736, 3669),
    "stanford_cars": (6509, 1635, 8041),
    "flowers102": (4093, 1633, 2463),
    "food101": (50500, 20200, 30300),
    "fgvc_aircraft": (3334, 3333, 3333),
    "sun397": (15880, 3970, 19850),
    "dtd": (2820, 1128, 1692),
    "eurosat": (13500, 5400, 8100),
    "ucf101": (7639, 1898, 3783),
}


def objects(schema, place="schema"):
    """Every object schema in a schema, with the place where it stands."""
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object":
            yield place, schema
        for key, value in schema.items():
            yield from objects(value, f"{place}.{key}")


def test_schema_knows_every_key_and_describes_it():
    found = dict(objects(SCHEMA))
    assert len(found) > 15
    for place, schema in found.items():
        dispatches = place == "schema.$defs.reader"  # each kind refuses unknown keys itself
        assert dispatches or schema.get("additionalProperties") is False, place
        for key, value in schema["properties"].items():
            target = SCHEMA["$defs"][value["$ref"].rpartition("/")[2]] if "$ref" in value else {}
            assert value.get("description") or target.get("description"), f"{place}.{key}"


def test_schema_and_registry_have_the_same_readers():
    assert sorted(SCHEMA["$defs"]["reader"]["properties"]["kind"]["enum"]) == sorted(KINDS)


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_papers(name):
    assert tuple(shipped(name)["sizes"].values()) == PUBLISHED[name]


@pytest.mark.parametrize("name", SIZES)
def test_a_source_without_a_published_checksum_is_the_exception(name):
    without = [f["file"] for f in shipped(name).get("download", ()) if not {"sha256", "md5"} & set(f)]
    expected = {"fgvc_aircraft": ["fgvc-aircraft-2013b.tar.gz"], "ucf101": ["UCF-101-midframes.zip"]}
    assert without == expected.get(name, [])


def test_what_the_reader_needs_is_what_the_download_gives():
    for name in SIZES:
        settings = shipped(name)
        given = {place for file in settings.get("download", ()) for place in file.get("gives", [file["file"]])}
        reader = settings["reader"]
        needed = {reader[key] for key in ("file", "images", "test") if key in reader} - {"."}
        assert name == "imagenet" or needed <= given, name
        assert "sources" in settings.get("mirror", {"sources": []}), name


def test_folders_are_the_references():
    folders = {name: shipped(name)["folder"] for name in SIZES}
    assert folders == {
        "imagenet": "imagenet",
        "caltech101": "caltech-101",
        "oxford_pets": "oxford_pets",
        "stanford_cars": "stanford_cars",
        "flowers102": "oxford_flowers",
        "food101": "food-101",
        "fgvc_aircraft": "fgvc_aircraft",
        "sun397": "sun397",
        "dtd": "dtd",
        "eurosat": "eurosat",
        "ucf101": "ucf101",
        "imagenetv2": "imagenetv2",
        "imagenet_sketch": "imagenet-sketch",
        "imagenet_a": "imagenet-adversarial",
        "imagenet_r": "imagenet-rendition",
    }
    assert {path.stem for path in DATASETS.glob("*.yaml")} >= set(folders)


def test_nothing_here_imports_torch_or_open_clip():
    """The class names of ImageNet come out of open_clip's files without importing it."""
    code = (
        "import sys, pathlib, pkgutil, importlib, cocoop.data.readers as readers\n"
        "for name in 'check listing new prepare images'.split(): importlib.import_module('cocoop.data.' + name)\n"
        "for kind in readers.KINDS: importlib.import_module('cocoop.data.readers.' + kind)\n"
        "from cocoop.data.readers.imagenet_names import ImageNetNames\n"
        "assert len(ImageNetNames.find([]).names) == 1000\n"
        "print(sorted({'torch', 'open_clip', 'timm', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=io.REPOSITORY, check=True)
    assert done.stdout.strip() == "[]"
