"""Stages called by hand with a wrong option, JSON or environment: one line, exit code 2, nothing written."""

import json

import pytest

from cocoop.cli import main
from cocoop.config import TrainingSpec

TEMPLATE = "the hand-crafted prompt of zero-shot CLIP, with one {} for the class name"
OPTIONS = [
    ("fewshot", "--seed", "-1", "expected an integer from 0 to 4294967295, got '-1'"),
    ("fewshot", "--seed", str(2**32), "expected an integer from 0 to 4294967295"),
    ("fewshot", "--seed", "²", "expected an integer from 0 to 4294967295, got '²'"),
    ("fewshot", "--shots", "0", "expected an integer >= 1, got '0'"),
    ("features", "--workers", "-1", "expected an integer from 0 to 1000, got '-1'"),
    ("views", "--workers", "many", "expected an integer from 0 to 1000, got 'many'"),
    ("views", "--epochs", "-1", "expected an integer >= 0, got '-1'"),
    ("views", "--epochs", "6", "--epochs: 6 6 is an empty range"),
    ("views", "--subset", "old", "expected all, base, new, base-K or new-K with a number K, got 'old'"),
]
JSON = ("--run", "--evaluation", "--dataset", "--backbone")
ENDLESS = vars(TrainingSpec(0, 1, 0.1, 0, 0.0, 0.0, 0.0))
UNTRAINED = {"shots": 0, "implementation": "cocoop.methods.zero_shot:ZeroShot", "training": None, "params": {}}
SETTINGS = [
    (
        "train",
        {"implementation": "nope"},
        "implementation: 'nope' is not valid; expected the implementation, module:Class",
    ),
    ("train", {"implementation": "nope:Nope"}, "class 'nope:Nope' cannot be imported"),
    ("train", {"training": {}}, "training.epochs: "),
    (
        "train",
        {"training": None},
        "training: expected training settings, got null, because coop has learns: by_gradient",
    ),
    ("train", {"training": 7}, "training: "),
    ("train", {"shots": 0}, "shots: expected 1 or more, got 0, because coop has learns: by_gradient"),
    ("train", {"templates": ["{} and {}"]}, TEMPLATE),
    ("train", {"mine": 1}, "mine: "),
    ("evaluate", {"subsets": ["foo"]}, "subsets.0: 'foo' is not one of all, base, new"),
    ("evaluate", {"subsets": ["base", "base"]}, "subsets: ['base', 'base'] has non-unique elements"),
    ("evaluate", {"templates": ["a {"]}, TEMPLATE),
    ("evaluate", {"templates": ["no place"]}, TEMPLATE),
    ("train", {"params": {}}, "params: top level: key 'n_ctx' is missing"),
    ("train", {"params": {"n_ctx": "x"}}, "params: n_ctx: expected an integer, got 'x'"),
    (
        "train",
        {"method": "mine", "params": {}},
        "config/methods/mine.yaml: CoOp needs class_token_position, csc, ctx_init, n_ctx",
    ),
    ("train", {"method": "clip", **UNTRAINED}, "learns nothing: there is no training"),
    ("train", {"seeds": [1, 1]}, "seeds: [1, 1] has non-unique elements"),
    ("train", {"seeds": [2**32]}, "seeds.0: 4294967296 is greater than the maximum"),
    ("train", {"subset": "old"}, "subset: 'old' is not one of all, base, new"),
    ("evaluate", {"implementation": "nope"}, "implementation: 'nope' is not valid"),
    ("evaluate", {"training": ENDLESS}, "training: epochs: 0 is less than the minimum of 1"),
    ("views", {"precision": "fp8"}, "--backbone: precision: 'fp8' is not one of"),
    ("features", {"model": None}, "--backbone: model: expected text, got None"),
    ("text-tower", {"mine": 1}, "--backbone: top level: unknown key 'mine'"),
    ("download", {"settings": {}}, "--dataset: settings: top level: key 'reader' is missing"),
    ("manifest", {"settings": {"title": 7}}, "title: expected text, got 7; write '7'"),
]
ENVIRONMENT = [
    ("text-tower", "COCOOP_DEVICE", "gpu", "COCOOP_DEVICE: 'gpu' is not one of auto, cpu, cuda. Did you mean 'cuda'?"),
    ("train", "COCOOP_DEVICE", "", "COCOOP_DEVICE: '' is not one of auto, cpu, cuda"),
    ("text-tower", "OMP_NUM_THREADS", "abc", "OMP_NUM_THREADS: expected a number of threads, got 'abc'"),
    ("train", "OMP_NUM_THREADS", "-3", "OMP_NUM_THREADS: expected a number of threads, got '-3'"),
    ("train", "COCOOP_TEXT_BUDGET_MB", "²", "COCOOP_TEXT_BUDGET_MB: expected an integer >= 16 (megabytes), got '²'"),
    ("evaluate", "COCOOP_TEXT_BUDGET_MB", "0", "COCOOP_TEXT_BUDGET_MB: expected an integer >= 16 (megabytes), got '0'"),
]


def refused(arguments, tmp_path, capsys, expected: str) -> None:
    before = set(tmp_path.iterdir())
    try:
        code = main([*map(str, arguments)])
    except SystemExit as ended:  # argparse
        code = ended.code
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("command:")]
    assert code == 2, lines
    assert lines[-1].startswith("error: ")
    assert expected in lines[-1]
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("stage", "option", "value", "expected"), OPTIONS)
def test_options(stage, option, value, expected, world, made, tmp_path, capsys, figures):
    arguments = world.arguments(stage, tmp_path, made)
    if option in arguments:
        arguments[arguments.index(option) + 1] = value
    else:
        arguments += [option, value]
    refused(arguments, tmp_path, capsys, expected)
    figures.add("options by hand", "one line")


@pytest.mark.parametrize(("stage", "change", "expected"), SETTINGS)
def test_json_options(stage, change, expected, world, made, tmp_path, capsys, figures):
    arguments = world.arguments(stage, tmp_path, made)
    place = next(arguments.index(option) + 1 for option in JSON if option in arguments)
    content = json.loads(arguments[place])
    if stage == "evaluate":  # of the run inside, unless the evaluation has the key
        own = {key: value for key, value in change.items() if key in content}
        content |= own | {"run": content["run"] | {key: value for key, value in change.items() if key not in own}}
    else:
        content |= change
    arguments[place] = json.dumps(content)
    refused(arguments, tmp_path, capsys, expected)
    figures.add("JSON by hand", "one line")


@pytest.mark.parametrize(("stage", "name", "value", "expected"), ENVIRONMENT)
def test_environment(stage, name, value, expected, world, made, tmp_path, capsys, monkeypatch, figures):
    monkeypatch.setenv(name, value)
    refused(world.arguments(stage, tmp_path, made), tmp_path, capsys, expected)
    figures.add("environment by hand", "one line")


def test_nested_thread_numbers(world, made, tmp_path, monkeypatch):
    """OMP_NUM_THREADS may be a list, one number for each level of nesting."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1,2")
    assert main(world.arguments("text-tower", tmp_path, made)) == 0
