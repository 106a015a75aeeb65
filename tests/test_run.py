"""`Run` and `Evaluation`: one canonical form, an identity that follows every field, refusals that name key and value."""

import json
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any

import pytest

from cocoop import io
from cocoop.config.draw import Draw
from cocoop.config.specs import BackboneSpec, TrainingSpec
from cocoop.errors import UserError
from cocoop.run import Evaluation, Run, seeds_text
from tests.runs import evaluation_of, run_of

DRAW = Draw(noise=0.5, imbalance=2, class_shots=(("cat", 1),))
RUN = run_of("coop", descriptions="d1", template="a {}.", needs=("template", "validation"), views=3, draw=DRAW)
EVALUATION = evaluation_of(RUN, "base", "new")
VALUES = {
    "run": RUN,
    "evaluation": EVALUATION,
    "untrained": run_of("clip"),
    "the authors' draw": run_of("coop"),
    "long": replace(RUN, seeds=tuple(range(9))),
}
CHANGES: dict[type, dict[str, Any]] = {
    Run: {
        "dataset": "digits", "data": "d2", "subset": "base", "templates": ("a {}.",), "descriptions": None, "template": None,
        "variant": "mine", "method": "mine", "implementation": "mine:Mine", "version": 2, "code": "c2", "inputs": "images",
        "stacked": False, "needs": (), "params": {"n_ctx": 8}, "training": None, "selection": "val", "views": 4, "shots": 2,
        "seeds": (2, 1), "temperature": "val",
    },
    Draw: {
        "noise": 0.25, "noise_kind": "pair_flip", "imbalance": 10.0, "class_shots": (("cat", 2),), "like": "clip_lora",
        "files": ("f2", "f3"),
    },
    Evaluation: {
        "target": "digits", "data": "d2", "templates": ("a {}.",), "descriptions": "d2", "template": None, "subsets": ("base",),
        "together": True,
    },
    TrainingSpec: {
        "epochs": 7, "batch_size": 7, "lr": 0.7, "warmup_epochs": 7, "warmup_lr": 0.7, "momentum": 0.7, "weight_decay": 0.7,
        "optimizer": "adam", "schedule": "step", "steps": 7, "drop_last": False, "betas": (0.7, 0.9), "eps": 0.7,
        "min_lr": 0.7,
    },
    BackboneSpec: {
        "name": "other", "model": "other", "pretrained": "other", "precision": "bf16", "files": "f2",
        "preprocessing": {"mean": [0, 0, 0]}, "revision": "main",
    },
}  # fmt: skip


def changes() -> Iterator[Any]:
    """(before, after) for every field of a run, of an evaluation, and of what is inside."""
    for field, value in CHANGES[Run].items():
        yield pytest.param(RUN, replace(RUN, **{field: value}), id=f"run.{field}")
    for field, value in CHANGES[Evaluation].items():
        yield pytest.param(EVALUATION, replace(EVALUATION, **{field: value}), id=f"evaluation.{field}")
    for part, kind in (("training", TrainingSpec), ("backbone", BackboneSpec), ("draw", Draw)):
        for field, value in CHANGES[kind].items():
            inner = replace(getattr(RUN, part), **{field: value})
            yield pytest.param(RUN, replace(RUN, **{part: inner}), id=f"run.{part}.{field}")


def test_every_field_has_a_change_in_this_file():
    """Fields that hold another such value are changed through it; what a backbone only shows changes nothing."""
    inside = {
        Run: {"backbone", "draw"},
        Evaluation: {"run"},
        BackboneSpec: {"label", "imagenet_zero_shot"},
        TrainingSpec: set(),
        Draw: {"folder"},
    }
    for kind, table in CHANGES.items():
        assert set(table) | inside[kind] == {field.name for field in fields(kind)}, kind


@pytest.mark.parametrize("name", VALUES)
def test_json_gives_back_an_equal_value(name):
    value = VALUES[name]
    again = type(value).from_dict(json.loads(value.to_json()), "x")
    assert again == value
    assert hash(again) == hash(value)
    assert (again.identity, again.to_json()) == (value.identity, value.to_json())


@pytest.mark.parametrize(("before", "after"), [*changes()])
def test_every_field_changes_value_json_and_identity(before, after):
    assert after != before
    assert after.to_json() != before.to_json()
    assert after.identity != before.identity
    assert type(after).from_dict(json.loads(after.to_json()), "x") == after


@pytest.mark.parametrize(("before", "after"), [*changes()])
def test_an_evaluation_changes_with_its_run(before, after):
    if isinstance(before, Run):
        assert replace(EVALUATION, run=after) != EVALUATION
        assert replace(EVALUATION, run=after).identity != EVALUATION.identity


def test_a_label_changes_neither_value_nor_identity():
    shown = replace(RUN, backbone=replace(RUN.backbone, label="Tiny CLIP"))
    assert (shown, shown.identity, shown.to_json()) == (RUN, RUN.identity, RUN.to_json())


def test_the_order_of_parameters_changes_nothing():
    turned = replace(RUN, params=dict(reversed(RUN.params.items())))
    assert (turned, turned.identity) == (RUN, RUN.identity)


@pytest.mark.parametrize("field", [field.name for field in fields(TrainingSpec) if field.type is float])
def test_a_whole_number_is_the_same_as_the_number_with_a_point(field):
    """YAML has `momentum: 0` and `momentum: 0.0`, and JSON gives back a float for both."""
    whole, pointed = (replace(RUN, training=replace(RUN.training, **{field: number})) for number in (1, 1.0))
    assert whole.identity == pointed.identity
    assert Run.from_dict(json.loads(whole.to_json()), "x").to_json() == whole.to_json()


def wrong(value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(where, a value of a wrong type) for every field of a dataclass, and of those inside."""
    for field in fields(value):
        inner = getattr(value, field.name)
        mapping = is_dataclass(inner) or field.name in ("params", "preprocessing")
        yield (field.name,), 7 if mapping else {"no": ["such", "type"]}
        if is_dataclass(inner):
            for place, bad in wrong(inner):
                if place != ("label",):
                    yield (field.name, *place), bad


@pytest.mark.parametrize(("place", "value"), [*wrong(EVALUATION)], ids=str)
def test_a_wrong_type_is_refused_by_key_and_value(place, value):
    content = json.loads(EVALUATION.to_json())
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(UserError) as error:
        Evaluation.from_dict(content, "--evaluation")
    said = str(error.value)
    assert said.startswith(f"--evaluation: {'.'.join(place)}")
    assert "\n" not in said
    assert f", got {value!r}." in said


@pytest.mark.parametrize("place", [("shots",), ("backbone", "model"), ("training", "lr")], ids=".".join)
@pytest.mark.parametrize("how", ["missing", "unknown"])
def test_missing_and_unknown_keys_are_named(how, place):
    content = json.loads(RUN.to_json())
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    if how == "missing":
        del inner[place[-1]]
    else:
        place = (*place[:-1], "shoots")
        inner["shoots"] = 7
    with pytest.raises(UserError, match=rf"^--run: {'.'.join(place)}: [^\n]*\.$") as error:
        Run.from_dict(content, "--run")
    assert how == "missing" or "7" in str(error.value)


@pytest.mark.parametrize("content", [None, 7, "run", [], {}, {"shots": float("nan")}, {"shots": {1, 2}}], ids=repr)
def test_what_is_no_run_is_refused_in_one_line(content):
    with pytest.raises(UserError, match=r"^x: [^\n]+\.$"):
        Run.from_dict(content, "x")


def test_seeds_are_short_in_paths_and_told_apart_by_identity():
    assert seeds_text((1, 2, 3)) == "1-2-3"
    assert seeds_text(tuple(range(1, 101))) == "1-to-100x100"
    one, other = (replace(RUN, seeds=(1, *middle, 9)) for middle in ((2, 3, 4, 5), (3, 4, 5, 6)))
    assert one.seeds_text == other.seeds_text
    assert one.identity != other.identity


def test_an_identity_is_the_digest_of_the_canonical_form():
    assert RUN.identity == io.identity(json.loads(RUN.to_json()))
    assert asdict(RUN.training).keys() == RUN.to_dict()["training"].keys()
