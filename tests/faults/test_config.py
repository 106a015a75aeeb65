"""Every key of every config file, mutated in every way: one line, exit code 2, before any job starts."""

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from cocoop import io
from cocoop.cli import main
from cocoop.config import Registry
from cocoop.config import paper as papers
from cocoop.config.validation import validate
from cocoop.errors import UserError
from cocoop.planning import Plan
from cocoop.planning.files import load
from cocoop.reporting.tables import paper
from tests.faults.mutations import fuzz
from tests.faults.valid import rightly

CONFIG = io.REPOSITORY / "config"
DEFAULTS = Path("config.yaml")
KINDS = ("backbones", "datasets", "methods", "experiments", "paper")
FILES = sorted(
    path.relative_to(CONFIG) for pattern in ("*.yaml", *(f"{k}/*.yaml" for k in KINDS)) for path in CONFIG.glob(pattern)
)
STRANGER = "no_such_key"
WRONG_TYPES = ([], {}, "text", 7, True, None, 2.5)
BYTES, BYTES_IN_CI, MUTANTS_IN_CI = 300, 10, 15


def keys(content: Any, place: tuple = ()) -> Iterator[tuple]:
    """The place of every key of nested mappings and lists."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*place, key)
        yield from keys(value, (*place, key))


def at(content: Any, place: tuple) -> Any:
    for key in place:
        content = content[key]
    return content


def mutants(content: dict) -> Iterator[tuple[str, tuple, Callable[[], dict]]]:
    """(what is done, to which key, a function that gives the content with it done), for every key."""
    for place in keys(content):
        value = at(content, place)
        if isinstance(at(content, place[:-1]), dict):
            yield "missing", place, partial(without, content, place)
            yield "wrong name", place, partial(renamed, content, place, f"{place[-1]}_x")
            yield "stranger", place, partial(replaced, content, (*place[:-1], STRANGER), 1)
        others = [other for other in WRONG_TYPES if type(other) is not type(value)]
        if isinstance(value, int | float) and not isinstance(value, bool):
            others += [-1, 0, 10**9, float("nan"), float("inf"), "2e-3"]
        if isinstance(value, str):
            others += ["", "no_such_name", value.upper(), f"{value} ", "../x", "$(touch canary)", "{}{}", "a\nb"]
        for other in others:
            if other != value or type(other) is not type(value):
                yield repr(other), place, partial(replaced, content, place, other)


def without(content: dict, place: tuple) -> dict:
    changed = copy.deepcopy(content)
    del at(changed, place[:-1])[place[-1]]
    return changed


def renamed(content: dict, place: tuple, name: str) -> dict:
    return replaced(without(content, place), (*place[:-1], name), at(content, place))


def replaced(content: dict, place: tuple, value: Any) -> dict:
    changed = copy.deepcopy(content)
    at(changed, place[:-1])[place[-1]] = value
    return changed


def use(folder: Path, name: Path) -> Any:
    """All that Snakemake does with the file before the first job: the plan, its runs and evaluations."""
    if name.name == papers.PUBLICATIONS.name:
        content = io.read_yaml(folder / name)
        validate(content, "publications", str(folder / name))
        return content
    if name.parent == Path("."):
        config = io.read_yaml(folder / name) if name == DEFAULTS else load([folder / name])
        plan = Plan(config, Registry(folder, config.get("variants"), str(folder / name)), str(folder / name))
        return plan.runs, plan.evaluations
    registry, kind, stem = Registry(folder), name.parent.name, name.stem
    if kind == "methods":
        return [(v.training_on("imagenet", 1), v) for v in registry.variants.values() if v.method == stem]
    if kind == "datasets":
        spec = registry.dataset(stem, str(folder / name))
        return spec, spec.title, spec.template, spec.folder, spec.sizes
    if kind == "backbones":
        return registry.backbone(stem, str(folder / name))
    if kind == "paper":
        return paper.load(folder / "paper"), papers.names(folder / "paper")
    config = io.read_yaml(folder / "config.yaml") | {
        "backbone": "tiny_vit",
        "experiments": {stem: {}},
    }  # a transformer takes all methods
    plan = Plan(config, registry, str(folder / name))
    return plan.experiments, plan.evaluations, plan.runs


def outcome(folder: Path, name: Path) -> tuple[str, str]:
    try:
        use(folder, name)
    except UserError as error:
        text = str(error)
        return ("one line" if "\n" not in text else "crashed"), text
    except Exception as error:  # a user would see a traceback
        return "crashed", f"{type(error).__name__}: {error}"
    return "also valid", ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    import shutil

    shutil.copytree(CONFIG, tmp_path_factory.mktemp("config") / "config")
    return tmp_path_factory.getbasetemp().joinpath("config0/config")


@pytest.mark.parametrize("name", FILES, ids=str)
def test_every_key(name, folder, full, figures, monkeypatch, capsys):
    content, path = io.read_yaml(CONFIG / name), folder / name
    kind = name.parent.name or {str(DEFAULTS): "config", papers.PUBLICATIONS.name: "publications"}.get(
        str(name), "overlay"
    )
    monkeypatch.chdir(folder.parent)
    monkeypatch.setattr(papers, "FOLDER", folder / "paper")
    crashed, missed = [], []
    everything = list(mutants(content))
    step = 1 if full else max(1, len(everything) // MUTANTS_IN_CI)
    try:
        for how, place, changed in everything[::step]:
            path.write_text(yaml.safe_dump(changed(), sort_keys=False, allow_unicode=True))
            found, text = outcome(folder, name)
            figures.add("config keys", found)
            crashed += [(how, place, text)] if found == "crashed" else []
            if found == "also valid" and not rightly(kind, place, how):
                missed.append((how, place))
            if found == "one line" and not (kind == "config" and how == "missing"):  # `plan` takes the shipped key here
                assert_exit_2(using(name, folder), capsys)
    finally:
        path.write_bytes((CONFIG / name).read_bytes())
    assert not crashed, crashed[:5]
    assert not missed, missed[:5]


def using(name: Path, folder: Path) -> str:
    """A configuration that asks for this file."""
    kind, stem = name.parent.name, name.stem
    if not kind:
        return f"config/{name}"
    test_only = kind == "datasets" and io.read_yaml(CONFIG / name).get("test_only")
    over = {
        "backbones": {"backbone": stem},
        "experiments": {"experiments": {stem: {}}},
        "datasets": {"experiments": {"cross_dataset": {"targets" if test_only else "train_datasets": [stem]}}},
        "methods": {"backbone": "tiny_vit", "experiments": {"base_to_new": {"variants": variants_of(name)}}},
    }
    (folder / "using.json").write_text(json.dumps(io.read_yaml(CONFIG / "config.yaml") | over.get(kind, {})))
    return "config/using.json"


def variants_of(name: Path) -> list[str]:
    """The first variant of a method's file, with which all of the file is checked."""
    return [*io.read_yaml(CONFIG / name).get("variants", {})][:1]


def assert_exit_2(file: str, capsys) -> None:
    """As a user sees it: the exit code, and one line on stderr alone."""
    code, said = main(["plan", "--configfile", file]), capsys.readouterr()
    assert (code, said.out, said.err.count("\n")) == (2, "", 1), said
    assert said.err.startswith("error: ")
    assert "config/" in said.err


@pytest.mark.parametrize("name", FILES, ids=str)
def test_bytes(name, folder, full, figures):
    """YAML has no checksum, as users write it: a mutated file is refused in one line, or is another valid one."""
    outcomes: list[str] = []
    bad = fuzz(
        folder / name,
        lambda path: use(folder, name),
        lambda a, b: a == b,
        BYTES if full else BYTES_IN_CI,
        outcomes.append,
    )
    for found in outcomes:
        figures.add("config bytes", "also valid" if found == "accepted" else found)
    assert not [line for line in bad if line.startswith("crashed")], bad[:5]
