"""Names of code and of open_clip's models, looked up at planning without importing: as the imported ones are."""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable

import open_clip
import pytest

from cocoop import source_code
from cocoop.config import Registry, code, openclip
from cocoop.config.code import check_class, digest
from cocoop.errors import UserError
from cocoop.places import REPOSITORY


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


MINE = "mine:Mine"


def digest_of(implementation: str = MINE) -> str:
    """As in a new process."""
    importlib.invalidate_caches()
    for cached in (code._tree, code._content):
        cached.cache_clear()
    return digest(implementation, "x.yaml")


@pytest.fixture
def own(tmp_path, monkeypatch) -> Callable[[str, str], object]:
    """A working folder, and a function that writes a module into it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def written(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")

    return written


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("from helper import x", "helper.py"),
        ("import helper", "helper.py"),
        ("def f():\n    import helper as h", "helper.py"),
        ("from helper import x", "helper/__init__.py"),
        ("from tools.shared import x", "tools/shared.py"),  # a folder without __init__.py
    ],
)
def test_a_module_of_the_working_folder_belongs_to_the_code_of_a_method(text, other, own, monkeypatch):
    own("further.py", "y = 1")
    own(other, "from further import y\nx = 1")
    own("mine.py", f"{text}\nclass Mine: ...")
    before = digest_of()
    monkeypatch.chdir("/")  # where a learned prompt is loaded, for example
    own(other, "from further import y\nx = 1  # a comment")
    assert digest_of() == before
    own(other, "from further import y\nx = 22")
    assert digest_of() != before
    own(other, "from further import y\nx = 1")
    own("further.py", "y = 22")
    assert digest_of() != before


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("from .tools import x", "deep/tools.py"),
        ("from . import tools", "deep/tools.py"),
        ("from ..shared import x", "shared.py"),
        ("from .. import x", "__init__.py"),
        ("x = 1", "__init__.py"),  # which Python runs before
        ("x = 1", "deep/__init__.py"),
    ],
)
def test_a_relative_import_belongs_to_the_code_of_a_method(text, other, own, monkeypatch):
    for name in ("__init__.py", "shared.py", "deep/__init__.py", "deep/tools.py"):
        own(f"pack/{name}", "x = 1")
    own("pack/deep/mine.py", f"{text}\nfrom .... import beyond\nclass Mine: ...")
    monkeypatch.chdir(REPOSITORY / "tests")  # as for an installed package
    before = digest_of("pack.deep.mine:Mine")
    own(f"pack/{other}", "x = 22")
    assert digest_of("pack.deep.mine:Mine") != before


def test_what_an_own_method_inherits_from_belongs_to_its_code(own):
    """All of CoOp's code, but not the code that all methods share."""
    own("mine.py", "from cocoop.methods.coop import CoOp\nfrom cocoop.text import prompts\nclass Mine(CoOp): ...")
    shipped = set(code._modules("cocoop.methods.coop:CoOp", "x.yaml"))
    assert shipped >= {"cocoop.methods.coop", "cocoop.methods.base"}
    digest_of()
    assert set(code._modules(MINE, "x.yaml")) == {"mine", *shipped}


def test_code_that_all_methods_share_does_not_belong_to_that_of_a_method_beside_it():
    """In a clone, the package lies beside an own method; here, this file is one."""
    found = code._modules(f"{__name__}:Mine", "x.yaml")
    assert {name.split(".")[0] for name in found} == {"tests"}


def test_installed_packages_do_not_belong_to_the_code_of_a_method_beside_them(own, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    own("site-packages/library.py", "x = 1")
    own("site-packages/installed.py", "from library import x\nclass Mine: ...")
    digest_of("installed:Mine")
    assert set(code._modules("installed:Mine", "x.yaml")) == {"installed"}


def test_a_library_does_not_belong_to_the_code_of_a_method(own):
    own("mine.py", "import torch\nimport json\nfrom pathlib import Path\nimport no_such_module\nclass Mine: ...")
    assert set(code._modules(MINE, "x.yaml")) == {"mine"}


@pytest.mark.parametrize("folder", [REPOSITORY, REPOSITORY / "tests"], ids=["a clone", "elsewhere"])
def test_the_code_of_a_shipped_method_is_what_it_imports_of_the_methods(folder, monkeypatch):
    """Written down apart from the lookup, so that no change of it gives all results another identity."""
    monkeypatch.chdir(folder)
    for implementation in {variant.implementation for variant in Registry(REPOSITORY / "config").variants.values()}:
        todo, contents = [implementation.split(":")[0]], {}
        while todo:
            name = todo.pop()
            contents[name] = (REPOSITORY / f"{name.replace('.', '/')}.py").read_bytes()
            imported = set(re.findall(r"^ *from (cocoop\.methods\.\w+) import", contents[name].decode(), re.MULTILINE))
            todo += imported - set(contents)
        assert digest(implementation, "x.yaml") == source_code.digest(contents), implementation


def test_the_digest_of_code_is_as_it_was(own):
    """Of two modules, by version 0.2.0's first lookup: it is part of the identities of results."""
    own("kept_methods/base.py", "class Base:\n    a = 1")
    own("kept_methods/mine.py", "from kept_methods.base import Base\nclass Mine(Base):\n    b = 2")
    found = digest_of("kept_methods.mine:Mine")
    assert found == "482c32839355f2d003e1f2892ed27436cb8445d97a1a025fa0d6f446482396fe"


def test_every_shipped_method_has_its_class():
    assert {variant.implementation for variant in Registry().variants.values()}  # read, and so looked up
