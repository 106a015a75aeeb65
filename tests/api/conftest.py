"""The miniature digits, and a short training on them, for all tests of the Python interface."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import cocoop
from cocoop.config import Registry
from cocoop.data import prepare
from cocoop.manifest import Manifest
from cocoop.splits import class_subset

CHECKPOINTS = Path(__file__).parents[1] / "official_checkpoints"
EPOCHS = 3


class Digits(NamedTuple):
    """The miniature dataset on disk."""

    data_root: Path
    manifest: Manifest

    def of(self, subset: str, most: int | None = None) -> tuple[list[Path], list[str], list[str]]:
        """Test pictures of a subset, the class name of each, and the names of the subset's classes."""
        names = self.manifest.classnames
        inside = class_subset(range(len(names)), subset)
        items = [item for item in self.manifest.splits["test"] if item.label in inside][:most]
        paths = [self.data_root / "digits" / item.path for item in items]
        return paths, [names[item.label] for item in items], [names[label] for label in inside]


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Digits:
    root = tmp_path_factory.mktemp("data")
    spec = Registry().dataset("digits", "test")
    prepare.download(spec, root, root / ".sources/digits.json")
    return Digits(root, prepare.checked(spec, root))


@pytest.fixture(scope="session")
def run_folder(digits, tmp_path_factory) -> Path:
    """The results of `cocoop.train` with CoOp on the base classes."""
    out = tmp_path_factory.mktemp("run")
    train(digits, out, "coop")
    return out


def train(digits: Digits, out: Path, method: str, **options) -> "cocoop.Prompt":
    settings = {"shots": 4, "backbone": "tiny", "subset": "base", "training": {"epochs": EPOCHS}} | options
    return cocoop.train("digits", method, data_root=digits.data_root, out=out, device="cpu", **settings)


@pytest.fixture(scope="session")
def prompt(run_folder) -> "cocoop.Prompt":
    return cocoop.load(run_folder, device="cpu")


class Trained(NamedTuple):
    """A prompt and the folder of its run."""

    prompt: "cocoop.Prompt"
    folder: Path


@pytest.fixture(scope="session")
def trained(digits, tmp_path_factory) -> Callable[[str], Trained]:
    """Short trainings by variant with one shot, each made once."""

    @cache
    def of(method: str) -> Trained:
        out = tmp_path_factory.mktemp(method)
        training = {} if method == "tip_adapter" else {"epochs": 1}
        return Trained(train(digits, out, method, shots=1, training=training), out)

    return of


def line_of(error: pytest.ExceptionInfo) -> str:
    """The message of a UserError, which has one line."""
    text = str(error.value)
    assert text and "\n" not in text
    return text
