"""Names of code and of open_clip's models, looked up at planning without importing: as the imported ones are."""

import json
import subprocess
import sys

import open_clip
import pytest

from cocoop.config import Registry, openclip
from cocoop.config.code import check_class
from cocoop.errors import UserError


@pytest.mark.slow
def test_models_and_tags_are_open_clips():
    shown = (
        "import json, open_clip; print(json.dumps(open_clip.list_models()))"  # afresh: other tests register models here
    )
    fresh = json.loads(subprocess.run([sys.executable, "-c", shown], capture_output=True, check=True).stdout)
    assert openclip.models() == set(fresh)
    for model in fresh:
        tags = set(open_clip.list_pretrained_tags_by_model(model))
        found = openclip.tags(model.removesuffix(openclip.QUICK_GELU))
        assert tags <= found, model
        assert found == tags or model.endswith(openclip.QUICK_GELU), model


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": "no_such_name"}, "model: open_clip has no model 'no_such_name'"),
        ({"model": "ViT-B-61"}, "Did you mean 'ViT-B-16'"),
        ({"model": "cocoop/no.json"}, "model: cocoop/no.json: no such file"),
        ({"pretrained": "no_such_name"}, "pretrained: unknown ViT-B-16 tag 'no_such_name'; known: .*openai"),
        ({"pretrained": "no/such.pt"}, "pretrained: no/such.pt: no such file"),
        ({"pretrained": "such.pt"}, "pretrained: such.pt: no such file"),
        ({"model": "MobileCLIP-B", "pretrained": "openai"}, "unknown MobileCLIP-B tag"),
        ({"model": "cocoop/assets/tiny_clip/tiny_clip.json"}, "tiny_clip.json has no tags"),
        ({"preprocessing": "no_such_name"}, "preprocessing: unknown ViT-B-16 tag 'no_such_name'; known: .*openai"),
    ],
)
def test_a_backbone_that_cannot_be(change, expected):
    with pytest.raises(UserError, match=expected):
        openclip.check_names({"model": "ViT-B-16", "pretrained": "openai", **change}, "x.yaml")


def test_a_backbone_that_can_be():
    for change in ({}, {"model": "ViT-B/16"}, {"pretrained": "laion2b-s34b-b88k"}, {"pretrained": None}):
        openclip.check_names({"model": "ViT-B-16", "pretrained": "openai", **change}, "x.yaml")


def test_names_are_not_checked_without_open_clip(monkeypatch):
    """Snakemake may run where only its jobs' environment has open_clip."""
    monkeypatch.setattr(openclip, "package", lambda: None)
    for cached in (openclip.models, openclip.tags):
        monkeypatch.setattr(openclip, cached.__name__, cached.__wrapped__)
    openclip.check_names({"model": "no_such_name", "pretrained": "no_such_name"}, "x.yaml")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package whose import would fail, with a function to write its module `method`."""
    folder = tmp_path / "my_methods_of_the_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return lambda text: (folder / "method.py").write_text(text)


@pytest.mark.parametrize(
    "text",
    ["class Mine: ...", "from x import Mine", "import x as Mine", "Mine = make()", "try:\n    class Mine: ...\nfinally: ...",
     "from x import *", "def __getattr__(name): ..."],
)  # fmt: skip
def test_a_class_is_found_without_importing_it(text, package):
    package(text + "\n")
    check_class("my_methods_of_the_test.method:Mine", "x.yaml")
    assert "my_methods_of_the_test" not in sys.modules


@pytest.mark.parametrize(
    ("implementation", "text", "expected"),
    [
        (
            "my_methods_of_the_test.method:Mine",
            "class Mina: ...",
            "unknown class '.*:Mine'; known: .*:Mina. Did you mean",
        ),
        ("my_methods_of_the_test.method:Mine", "def f():\n    Mine = 1", "unknown class .*known: none"),
        ("my_methods_of_the_test.method:Mine", "class Mine:", "method.py: not valid Python"),
        ("my_methods_of_the_test.metod:Mine", "", "unknown module '.*metod'; known: .*method. Did you mean '.*method'"),
        ("no_such_package_at_all:Mine", "", "package 'no_such_package_at_all' not found"),
    ],
)
def test_a_missing_class_is_reported(implementation, text, expected, package):
    package(text + "\n")
    with pytest.raises(UserError, match=expected):
        check_class(implementation, "x.yaml")


def test_every_shipped_method_has_its_class():
    assert {variant.implementation for variant in Registry().variants.values()}  # read, and so looked up
