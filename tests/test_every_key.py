"""Every key of every file of the configuration: a change renews what depends on it, and nothing else."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cocoop import draws, io
from cocoop.config import Registry
from cocoop.planning.plan import Plan
from tests.every_key import Key, Schema, every_key, recomputed

KINDS = {"config": "config", "backbone": "backbones/tiny", "dataset": "datasets/mine", "experiment": "experiments/mine",
         "method": "methods/coop"}  # fmt: skip
UNTRAINED = ("clip", "clip_ensemble", "clip_descriptions")
SPLIT = {"train": 0.5, "val": 0.2, "test": 0.3}
CONTENT: dict[str, dict[str, Any]] = {
    "config": {
        "data_root": "data", "offline": True, "backbone": "tiny", "device": "cpu", "seeds": [1, 2], "seeds_per_job": 1, "views": 1,
        "text_budget_mb": 256, "image_states_mb": 0, "forkserver": True, "tensorboard": False, "variants": {},
        "experiments": ["mine"],
    },
    "dataset": {
        "title": "Mine", "template": "a photo of a {}.", "ensemble": "mine.txt", "descriptions": "mine.json",
        "reader": {"kind": "image_folder", "split": SPLIT},
    },
    "experiment": {
        "title": "Mine", "table": "base_to_new", "caption": "", "paper": None, "variants": [*UNTRAINED, "coop"],
        "train_datasets": ["mine"], "train_subset": "base", "shots": [4], "targets": [], "target_subsets": ["base", "new"],
    },
}  # fmt: skip
FILES = {"mine.txt": "a {}.", "mine.json": '{"cat": ["has fur"]}', "other.json": '{"cat": ["has whiskers"]}'}
NOTHING: set[str] = set()
SHOWN = {"configuration", "experiment", "collect", "tables", "paired", "figures", "page"}
COOP = SHOWN | {"train coop", "evaluate coop"}
CLIP, ENSEMBLE, DESCRIPTIONS = (SHOWN | {f"evaluate {variant}"} for variant in UNTRAINED)
ALL_CLIP = CLIP | ENSEMBLE | DESCRIPTIONS
VIEWS = COOP | {"views"}
DRAWS = VIEWS | {"fewshot"}
DATA = DRAWS | ALL_CLIP | {"manifest", "features"}
SOURCE = DATA | {"download"}
BACKBONE = VIEWS | ALL_CLIP | {"text_tower", "features"}
TESTS = ALL_CLIP | {"evaluate coop"}
RENEWED: dict[str, set[str]] = {
    "config.data_root": SOURCE - {"configuration", "experiment"},
    "config.offline": NOTHING,
    "config.backbone": BACKBONE,
    "config.backbones": BACKBONE,
    "config.precision": BACKBONE,
    "config.device": NOTHING,
    "config.jobs_per_gpu": NOTHING,
    "config.seeds": DRAWS,
    "config.seeds_per_job": VIEWS,
    "config.views": VIEWS,
    "config.text_budget_mb": NOTHING,
    "config.image_states_mb": NOTHING,
    "config.forkserver": NOTHING,
    "config.tensorboard": NOTHING,
    "config.variants": COOP,
    "config.variants.*.prompts_from": CLIP,
    "config.variants.*.label": SHOWN,
    "config.variants.*.based_on": NOTHING,  # until an experiment compares it
    "config.experiments": SHOWN,
    "backbone": BACKBONE,
    "backbone.label": SHOWN,
    "backbone.imagenet_zero_shot": SHOWN,
    "dataset.title": SHOWN,
    "dataset.template": CLIP,
    "dataset.ensemble": ENSEMBLE,
    "dataset.descriptions": DESCRIPTIONS,
    "dataset.folder": SOURCE,
    "dataset.classes": DATA,
    "dataset.sizes": DATA,
    "dataset.about": NOTHING,
    "dataset.class_list_sha256": DATA,
    "dataset.test_only": NOTHING,
    "dataset.skip_unreadable": DATA,
    "dataset.transparency": DATA,
    "dataset.licence": NOTHING,
    "dataset.notes": NOTHING,
    "dataset.manual": NOTHING,
    "dataset.link": SOURCE,
    "dataset.miniature": SOURCE,
    "dataset.download": SOURCE,
    "dataset.mirror": SOURCE,
    "dataset.reader": SOURCE,
    "dataset.fallback_reader": SOURCE,
    "experiment.title": SHOWN,
    "experiment.table": SHOWN,
    "experiment.caption": SHOWN,
    "experiment.paper": SHOWN,
    "experiment.reference": SHOWN,
    "experiment.measures": SHOWN,
    "experiment.paper_measures": SHOWN,
    "experiment.variants": SHOWN | {"train coop_random", "evaluate coop_random"},
    "experiment.train_datasets": SOURCE,
    "experiment.train_subset": VIEWS,
    "experiment.shots": DRAWS,
    "experiment.targets": TESTS | {"download", "manifest", "features"},
    "experiment.target_subsets": TESTS,
    "experiment.draws": DRAWS,
    "experiment.label_noise": COOP,
    "experiment.imbalance": DRAWS,
    "experiment.class_shots": DRAWS,
    "experiment.drawn_like": DRAWS,
    "experiment.halves": VIEWS | ALL_CLIP,
    "method.class": COOP,
    "method.version": COOP,
    "method.reference": NOTHING,
    "method.learns": COOP,
    "method.views": VIEWS,
    "method.inputs": COOP,
    "method.prompts": NOTHING,
    "method.needs": COOP,
    "method.prompts_from": COOP,
    "method.image_layer_from": NOTHING,
    "method.stacked": COOP,
    "method.class_bound": NOTHING,
    "method.params": NOTHING,
    "method.defaults": COOP,
    "method.training": COOP,
    "method.per_dataset": COOP,
    "method.per_shots": COOP,
    "method.variants": COOP,
    "method.variants.*.label": SHOWN,
    "method.selections": NOTHING,
    **dict.fromkeys(
        (
            "config.variants.*.selection",
            "config.variants.*.temperature",
            "method.temperature",
            "method.variants.*.temperature",
            "method.selection",
            "method.per_dataset.*.selection",
            "method.per_shots.*.selection",
            "method.variants.*.selection",
            "method.variants.*.per_dataset.*.selection",
            "method.variants.*.per_shots.*.selection",
        ),
        VIEWS,
    ),
}
WITHOUT_TRAINING = ("training", "per_dataset", "per_shots")
CHANGES: dict[str, Any] = {  # where a value must fit others
    "config.backbone": "other",
    "config.precision": "bf16",
    "config.seeds": [1, 2, 3],
    "config.seeds_per_job": 2,
    "config.views": "plain",
    "config.text_budget_mb": 512,
    "config.image_states_mb": 512,
    "config.variants": {"coop": {"training": {"lr": 0.1}}},
    "config.variants.*.params": {"n_ctx": 8, "ctx_init": None},
    "config.variants.*.training": {"lr": 0.1},
    "config.variants.*.per_dataset": {"mine": {"lr": 0.1}},
    "config.variants.*.per_shots": {"4": {"lr": 0.1}},
    "config.experiments": [{"mine": {"title": "Other"}}],
    "backbone.model": "ViT-B-32",
    "backbone.pretrained": None,
    "backbone.imagenet_zero_shot": {"accuracy": 50.0, "source": "a paper"},
    "backbone.preprocessing": {"mean": [0, 0, 0]},
    "dataset.ensemble": ["a {}.", "the {}."],
    "dataset.descriptions": "other.json",
    "dataset.test_only": False,
    "dataset.reader": {"kind": "folders", "train": "train", "test": "test"},
    "dataset.fallback_reader": {"kind": "folders", "train": "train", "test": "test"},
    "experiment.paper": "table1_base_to_new",
    "experiment.reference": "clip",
    "experiment.paper_measures": ["calibration_base_to_new"],
    "experiment.variants": [*UNTRAINED, "coop", "coop_random"],
    "experiment.train_datasets": ["mine", "digits"],
    "experiment.targets": ["mine", "digits"],
    "experiment.train_subset": "all",
    "experiment.target_subsets": ["base"],
    "experiment.draws": "drawn",
    "experiment.class_shots": {"mine": {"cat": 2}},
    "experiment.halves": [1],
    "config.variants.*.temperature": "val",
    "method.temperature": "val",
    "method.variants.*.temperature": "val",
    "method.class": "cocoop.methods.cocoop:CoCoOp",
    "method.class_bound": False,
    "method.inputs": "images",
    "method.needs": ["template"],
    "method.training": lambda training: training | {"lr": 0.1},
    "method.params": lambda params: params | {"n_ctx": params["n_ctx"] | {"description": "other words"}},
    "method.defaults": lambda defaults: defaults | {"n_ctx": 2, "ctx_init": None},
    "method.variants": lambda variants: variants | {"coop": {"label": "CoOp", "training": {"lr": 0.1}}},
    "method.variants.*.params": {"n_ctx": 2, "ctx_init": None},
    **{
        f"method.{place}.*.params": {"n_ctx": 2, "ctx_init": None}
        for place in ("per_dataset", "per_shots", "variants.*.per_dataset", "variants.*.per_shots")
    },
    "method.selections": ["none", "val"],
    "config.variants.*.selection": "val",
    "method.per_dataset": {"mine": {"lr": 0.1}},
    "method.per_shots": {"4": {"lr": 0.1}},
    "method.variants.*.per_dataset": {"mine": {"lr": 0.1}},
    "method.variants.*.per_shots": {"4": {"lr": 0.1}},
}
WHOLE: dict[str, Callable[[dict], dict]] = {  # where other keys must change along
    "method.learns": lambda content: {
        **{name: value for name, value in content.items() if name not in WITHOUT_TRAINING},
        "learns": "by_itself", "variants": {"coop": {"label": "CoOp"}},
    },
    "method.image_layer_from": lambda content: content | {"image_layer_from": "n_ctx"},
    "config.backbones": lambda content: {key: value for key, value in content.items() if key != "backbone"}
    | {"backbones": ["other"]},
    "backbone.revision": lambda content: content
    | {"model": "hf-hub:someone/else", "pretrained": None, "revision": "main"},
    "config.variants.*.based_on": lambda content: content | {"variants": {"mine": {"based_on": "coop"}}},
    "config.variants.*.prompts_from": lambda content: content | {"variants": {"clip": {"prompts_from": "ensemble"}}},
    "method.variants.*.prompts_from": lambda content: content | {
        "prompts_from": "template", "variants": {"coop": {"label": "CoOp", "prompts_from": "ensemble"}},
    },
}  # fmt: skip
KEYS = every_key(*KINDS)


@pytest.fixture
def config(tmp_path, monkeypatch) -> Path:
    """A small configuration: one dataset, CLIP with each kind of prompts, and CoOp with training as in its file."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)
    draws.file_of("drawn", "mine", 4, 1).parent.mkdir(parents=True)
    for seed in (1, 2):
        draws.file_of("drawn", "mine", 4, seed).write_text(f"draw {seed}")
    folder = tmp_path / "config"
    for name in ("backbones/tiny", "datasets/digits", "methods/clip", "methods/coop"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(io.REPOSITORY / f"config/{name}.yaml", folder / f"{name}.yaml")
    with (folder / "methods/coop.yaml").open("a") as coop:
        coop.write("selections: [none, val, hold_one_out]\n")
    shutil.copy(folder / "backbones/tiny.yaml", folder / "backbones/other.yaml")
    with (folder / "datasets/digits.yaml").open("a") as digits:
        digits.write("descriptions: mine.json\n")
    (folder / "experiments").mkdir()
    for kind, content in CONTENT.items():
        (folder / f"{KINDS[kind]}.yaml").write_text(yaml.safe_dump(content))
    return folder


def plan(folder: Path) -> Plan:
    content = io.read_yaml(folder / "config.yaml")
    return Plan(content, Registry(folder, content.get("variants")))


def expected(key: Key) -> set[str] | None:
    """What the table says of the key, or of the nearest key above it."""
    names = (key.kind, *key.path)
    found = (RENEWED.get(".".join(names[:end])) for end in range(len(names), 0, -1))
    return next((stages for stages in found if stages is not None), None)


def changed(key: Key, said: Mapping[str, Any], content: dict[str, Any]) -> tuple[dict, dict]:
    """(before, after): the content with what the key needs around it, and with another value of the key."""
    schema, name = Schema.of(key.kind), ".".join((key.kind, *key.path))
    if name in WHOLE:
        return content, WHOLE[name](content)

    def having(leaf: Any) -> dict:
        return schema.containing(schema.content, key, key.path, leaf, content)

    if name in CHANGES:
        change = CHANGES[name]
        return content, having(change(content[key.path[0]]) if callable(change) else change)
    return having(schema.value(said, 1)), having(schema.value(said, 2))


def test_every_key_has_an_entry():
    """Of a new key somebody must say here what a change of it renews."""
    assert len(KEYS) > 150
    assert not [str(key) for key, _ in KEYS if expected(key) is None]
    tops = {".".join((key.kind, *key.path)) for key, _ in KEYS}
    assert not [name for name in {*RENEWED, *CHANGES, *WHOLE} - {"backbone"} if name not in tops]


@pytest.mark.parametrize(("key", "said"), KEYS, ids=[str(key) for key, _ in KEYS])
def test_a_change_renews_what_depends_on_it(key, said, config):
    file = config / f"{KINDS[key.kind]}.yaml"
    plans = []
    for content in changed(key, said, io.read_yaml(file)):
        file.write_text(yaml.safe_dump(content))
        plans.append(plan(config))
    assert recomputed(*plans) == expected(key)


@pytest.mark.parametrize(
    ("name", "text", "renewed"),
    [("mine.txt", "the {}.", ENSEMBLE), ("mine.json", FILES["other.json"], DESCRIPTIONS), ("mine.txt", "# new\na {}.\n", NOTHING)],
)  # fmt: skip
def test_a_change_of_a_file_of_prompts_renews_what_uses_them(name, text, renewed, config):
    before = plan(config)
    Path(name).write_text(text)
    assert recomputed(before, plan(config)) == renewed


def test_measures_of_both_halves_renew_the_tests(config):
    """They classify each image among the other half, too; the tests of an experiment that names none keep their paths."""
    before, file = plan(config), config / "experiments/mine.yaml"
    file.write_text(yaml.safe_dump(CONTENT["experiment"] | {"measures": ["ece", "auroc"]}))
    assert recomputed(before, plan(config)) == TESTS
    file.write_text(yaml.safe_dump(CONTENT["experiment"] | {"measures": ["ece", "nll"]}))
    assert recomputed(before, plan(config)) == SHOWN


def test_no_change_renews_nothing(config):
    assert recomputed(plan(config), plan(config)) == NOTHING
