"""docs/messages.md: what users see for each kind of mistake in a configuration. The page is written by this test in full mode."""

import ast
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from cocoop import io
from cocoop.config import Registry
from cocoop.errors import UserError
from cocoop.planning import Plan
from tests.faults.test_config import CONFIG, replaced, use, without

PAGE = io.REPOSITORY / "docs" / "messages.md"
HEAD = """# Messages for invalid configurations

Every mistake in a YAML file of `config/` is reported in one line, with exit code 2, before any job starts. This page lists every
message; `tests/faults/test_messages.py` makes these mistakes, compares the messages, and searches the code for missing ones.
`make faults` writes this page.

Snakemake itself reads files named with `--configfile`, and profiles, before the benchmark does. It rejects files that are not
valid YAML, UTF-8 or mappings with its own message and exit code, and **it runs code in such a file** (`__use_yte__: true`). All
other mistakes in them are reported as below. Before you use a file that you did not write, check it with
`python -m cocoop plan --configfile FILE`, which runs no code and reports all mistakes in one line.

| file | mistake | message |
| --- | --- | --- |
"""
GONE, FOLDER = object(), object()
CONFIGURATION, COOP, PROBE, VISUAL, DTD, NEW, TINY, RN50, PAPER, SUCCESSORS = (
    "config.yaml", "methods/coop.yaml", "methods/linear_probe.yaml", "methods/visual_prompt.yaml", "datasets/dtd.yaml",
    "experiments/base_to_new.yaml", "backbones/tiny.yaml", "backbones/rn50.yaml", "paper/table1_base_to_new.yaml",
    "paper/successors_base_to_new.yaml",
)  # fmt: skip
MISTAKES = [
    (CONFIGURATION, "a key is missing", ("seeds",), GONE),
    (CONFIGURATION, "a key nobody knows", ("sedes",), [1]),
    (CONFIGURATION, "a key that would run code", ("__use_yte__",), True),
    (CONFIGURATION, "a wrong type", ("seeds",), 1),
    (CONFIGURATION, "2e-3 is text in YAML", ("variants", "coop"), {"training": {"lr": "2e-3"}}),
    (CONFIGURATION, "below the least value", ("seeds_per_job",), 0),
    (CONFIGURATION, "above the greatest value", ("seeds",), [2**32]),
    (CONFIGURATION, "one value twice", ("seeds",), [1, 1]),
    (CONFIGURATION, "an empty list", ("seeds",), []),
    (CONFIGURATION, "an empty text", ("data_root",), ""),
    (CONFIGURATION, "a folder Snakemake cannot take", ("data_root",), "data/{mine}"),
    (CONFIGURATION, "a number with a point for an integer", ("seeds_per_job",), 2.0),
    (CONFIGURATION, "not one of the choices", ("device",), "gpu"),
    (CONFIGURATION, "neither of two forms", ("views",), "all"),
    (CONFIGURATION, "an unknown backbone", ("backbone",), "tiney"),
    (CONFIGURATION, "no backbone", ("backbone",), GONE),
    (CONFIGURATION, "backbones said twice", ("backbones",), ["tiny", "vit_b16"]),
    (CONFIGURATION, "an unknown experiment", ("experiments", 0), "base_to_nwe"),
    (CONFIGURATION, "an unknown variant to change", ("variants", "cop"), {}),
    (CONFIGURATION, "an experiment named twice", ("experiments",), ["base_to_new", "base_to_new"]),
    (CONFIGURATION, "a new variant with an existing name", ("variants", "cocoop"), {"based_on": "coop"}),
    (
        CONFIGURATION,
        "a new variant based on another new one",
        ("variants",),
        {"one": {"based_on": "coop", "training": {"epochs": 3}}, "two": {"based_on": "one"}},
    ),
    (
        CONFIGURATION,
        "shots as a number and as text",
        ("variants", "coop"),
        {"per_shots": {4: {"lr": 0.1}, "4": {"lr": 0.2}}},
    ),
    (CONFIGURATION, "a parameter the method does not have", ("variants", "coop"), {"params": {"context": 8}}),
    (CONFIGURATION, "an unknown dataset", ("experiments", 0, "base_to_new", "train_datasets"), ["digit"]),
    (
        CONFIGURATION,
        "training on what is for testing only",
        ("experiments", 0, "base_to_new", "train_datasets"),
        ["imagenet_a"],
    ),
    (
        CONFIGURATION,
        "a measure of both halves without one of them",
        ("experiments", 0, "base_to_new", "target_subsets"),
        ["base"],
    ),
    (
        CONFIGURATION,
        "moving what fits its own classes only",
        ("variants", "coop"),
        {"params": {"csc": True}},
    ),
    (CONFIGURATION, "prompts nobody knows", ("variants", "clip"), {"prompts_from": "ensembles"}),
    (CONFIGURATION, "prompts for a method without any", ("variants", "coop"), {"prompts_from": "ensemble"}),
    (CONFIGURATION, "descriptions that a dataset lacks", ("variants", "clip"), {"prompts_from": "descriptions"}),
    (COOP, "an unknown key of a method", ("trainings",), {}),
    (COOP, "a training key is missing", ("training", "momentum"), GONE),
    (COOP, "not a number", ("training", "lr"), float("nan")),
    (COOP, "outside the open range", ("training", "momentum"), 1.0),
    (COOP, "no import string", ("class",), "cocoop.methods.coop"),
    (COOP, "no JSON schema", ("params", "n_ctx", "type"), "integr"),
    (COOP, "a key no JSON schema has", ("params", "n_ctx", "minumum"), 1),
    (COOP, "a module that does not exist", ("class",), "cocoop.methods.coop.more:CoOp"),
    (COOP, "a package that does not exist", ("class",), "no_such_package.coop:CoOp"),
    (COOP, "a class that does not exist", ("class",), "cocoop.methods.coop:CoOP"),
    (COOP, "words that do not match their number", ("defaults", "n_ctx"), 8),
    (COOP, "words counted by nothing", ("params", "ctx_init", "one_word_each"), "context"),
    (COOP, "above a sensible value", ("training", "epochs"), 10**9),
    (COOP, "a default of the wrong type", ("defaults", "n_ctx"), "4"),
    (COOP, "shots that are no number", ("variants", "coop_fewshot", "per_shots"), {"many": {"epochs": 5}}),
    (COOP, "training without gradient", ("learns",), "by_itself"),
    (PROBE, "images for a method that fits itself", ("inputs",), "images"),
    (PROBE, "training settings of a method that fits itself", ("per_shots",), {"4": {"epochs": 5}}),
    (COOP, "a selection that the method does not support", ("selection",), "val"),
    (VISUAL, "holding out pixels", ("selection",), "hold_one_out"),
    (COOP, "one variant in two methods", ("variants", "cocoop"), {"label": "x"}),
    (COOP, "a variant's name with capitals", ("variants", "CoOp"), {"label": "x"}),
    (DTD, "a template without a place", ("template",), "a photo."),
    (DTD, "an unknown reader", ("reader",), {"kind": "folder"}),
    (DTD, "a folder that leads out", ("folder",), "../dtd"),
    (DTD, "a checksum that is none", ("class_list_sha256",), "abc"),
    (DTD, "a key is missing", ("title",), GONE),
    (DTD, "a number for a text", ("title",), 47),
    (NEW, "an unknown kind of table", ("table",), "base_new"),
    (NEW, "an unknown variant", ("variants",), ["clip", "copo"]),
    (NEW, "an unknown subset", ("target_subsets",), ["old"]),
    (NEW, "no shots", ("shots",), [0]),
    (NEW, "an unknown table of the paper", ("paper",), "table_9"),
    (NEW, "an unknown measure", ("measures",), ["ece_15"]),
    (NEW, "published numbers of another measure", ("paper_measures",), ["table1_base_to_new"]),
    (NEW, "published numbers of no accuracy", ("paper",), "calibration_base_to_new"),
    (TINY, "an unknown precision", ("precision",), "fp8"),
    (TINY, "a key is missing", ("pretrained",), GONE),
    (TINY, "a revision of what is not of the hub", ("revision",), "main"),
    (TINY, "a model of the hub with half a name", ("model",), "hf-hub:bioclip-2"),
    (TINY, "a model of the hub with weights of its own", ("model",), "hf-hub:imageomics/bioclip-2"),
    (TINY, "an unknown model", ("model",), "ViT-B-16-quikgelu"),
    (TINY, "a file that is not there", ("pretrained",), "weights/tiny.safetensors"),
    (TINY, "a tag of a model without tags", ("pretrained",), "openai"),
    (RN50, "an unknown tag", ("pretrained",), "open_ai"),
    (RN50, "preprocessing as of an unknown tag", ("preprocessing",), "laion2b"),
    (RN50, "a mean of pixels from 0 to 255", ("preprocessing",), {"mean": [123.7, 116.3, 103.5]}),
    (TINY, "preprocessing as of a tag of a model without tags", ("preprocessing",), "openai"),
    (PAPER, "a number that is no per cent", ("values", "average", "coop", "base"), 826.9),
    (PAPER, "a metric nobody knows", ("values", "average", "coop", "hm"), 71.66),
    (PAPER, "a key is missing", ("sources",), GONE),
    (SUCCESSORS, "a row that is not described", ("values", "average", "kgcopo"), {"base": 80.73}),
    (SUCCESSORS, "a row of no method", ("rows", "hpt", "method"), GONE),
    (SUCCESSORS, "a row of an unknown method", ("rows", "hpt", "method"), "htp"),
]
TEXTS = [
    (CONFIGURATION, "a key appears twice", "seeds: [1]\nseeds: [2]\n"),
    (
        TINY,
        "a model of the hub with a tag of open_clip",
        "label: x\nmodel: hf-hub:someone/model\npreprocessing: openai\n",
    ),
    (CONFIGURATION, "no YAML", "seeds: [1\n"),
    (CONFIGURATION, "a character YAML does not take", "seeds: \x04\n"),
    (CONFIGURATION, "a date that is none", "seeds: 2026-13-01\n"),
    (CONFIGURATION, "no mapping", "- seeds\n"),
    (CONFIGURATION, "no file", None),
    (CONFIGURATION, "a folder in its place", FOLDER),
    (CONFIGURATION, "an empty file", ""),
    (CONFIGURATION, "no UTF-8 text", b"seeds: \xff\n"),
    (CONFIGURATION, "a tag that would make an object", "seeds: !!python/name:os.system\n"),
]


Text = str | bytes | object | None
MISNAMED = "datasets/My Birds.yaml"
KEPT = {  # so that a new file in config/ changes no message
    "backbones": {"rn50", "tiny", "tiny_vit", "vit_b16"},
    "datasets": {"counts", "digits", "dtd", "imagenet_a", "letters", "shapes", "textures"},
    "methods": {"clip", "cocoop", "coop"},
    "experiments": {"base_to_new", "parameter_matched"},
}


def said(folder: Path, name: str, text: Text) -> str:
    """The message for a file with this text."""
    with made(folder / name, text):
        try:
            use(folder, Path(name))
        except UserError as error:
            return str(error).replace(f"{folder}/", "config/")
    raise AssertionError(f"{name}: accepted")


@contextmanager
def made(path: Path, text: Text) -> Iterator[None]:
    """The file with this text; None: without it; FOLDER: a folder in its place."""
    before = path.read_bytes() if path.exists() else None
    path.unlink(missing_ok=True)
    if text is FOLDER:
        path.mkdir()
    elif text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        yield
    finally:
        path.rmdir() if text is FOLDER else path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)


def written() -> list[tuple[str, str, Text]]:
    """(file, mistake, the file's text with the mistake in it) of every row."""
    found = []
    for name, mistake, place, value in MISTAKES:
        content = io.read_yaml(CONFIG / name)
        changed = without(content, place) if value is GONE else replaced(content, place, value)
        found.append((name, mistake, yaml.safe_dump(changed, sort_keys=False, allow_unicode=True)))
    return [*found, *TEXTS, (MISNAMED, "a file's name with capitals and spaces", (CONFIG / DTD).read_text())]


def rows(folder: Path) -> list[str]:
    found = [(name, mistake, said(folder, name, text)) for name, mistake, text in written()]
    return [
        f"| {name} | {mistake} | `` {message.replace('|', chr(92) + '|')} `` |\n" for name, mistake, message in found
    ]


def kept(folder: Path) -> Path:
    """`config` copied into a folder, with few files in its registries."""
    copied = Path(shutil.copytree(CONFIG, folder / "config"))
    for kind, names in KEPT.items():
        for path in (copied / kind).glob("*.yaml"):
            if path.stem not in names:
                path.unlink()
    return copied


@pytest.fixture
def folder(tmp_path) -> Path:
    return kept(tmp_path)


def test_the_page_lists_what_users_see(folder, full):
    page = HEAD + "".join(rows(folder))
    if full:
        io.write_text(PAGE, page)
    assert PAGE.read_text(encoding="utf-8") == page, "run `make faults` to write docs/messages.md again"


def test_every_message_is_one_line(folder):
    for row in rows(folder):
        assert row.count("\n") == 1


def test_an_empty_registry_says_so(tmp_path):
    with pytest.raises(UserError, match=r"unknown backbone 'tiny'; known: none\."):
        Plan(io.read_yaml(CONFIG / "config.yaml"), Registry(tmp_path))


SOURCES = [*sorted((io.REPOSITORY / "cocoop" / "config").glob("*.py")), io.REPOSITORY / "cocoop" / "io.py"]
OF_IO = ("read_yaml", "_read")  # what else stands in io.py is of other files
PARTS = ("_lines", "_not_finite", "not_valid", "_fix", "_more")  # of validation.py: the pieces of its one message
ELSEWHERE = {  # where each is tested
    "not valid Python": "a broken module: tests/test_lookup.py",
    "is empty; write one template per line": "a file of templates: tests/config/test_prompts_of_datasets.py",
    "sentence": "a file of class descriptions: the same",
    "appears twice": "the same",
    "not valid JSON": "the same",
    "cannot be read": "the same",
    "cannot read": "the same",
    "needs exactly one": "the same",
}


def messages() -> Iterator[tuple[str, str]]:
    """(where it stands, a regular expression) of every message that the configuration's code can give."""
    for path in SOURCES:
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and (path.name != "io.py" or function.name in OF_IO):
                for text in texts(function):
                    yield f"{path.name}: {function.name}", text


def texts(function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if called == "UserError":
            yield pattern(node.args[0])
        elif called == "unknown":
            yield f"unknown {pattern(node.args[0])} "
        elif function.name in PARTS and isinstance(node, ast.JoinedStr):
            yield pattern(node)


def pattern(node: ast.expr) -> str:
    """Constant pieces as they are, anything between them."""
    if isinstance(node, ast.JoinedStr):
        return "".join(pattern(part) for part in node.values)
    return re.escape(node.value.rstrip(".")) if isinstance(node, ast.Constant) else ".*"


def test_every_message_of_the_code_has_a_row():
    page, found = PAGE.read_text(encoding="utf-8"), list(messages())
    assert len(found) > 35
    assert not [(place, text) for place, text in found if not re.search(text, page) and not known_elsewhere(text)]


def known_elsewhere(text: str) -> bool:
    return any(re.escape(words) in text for words in ELSEWHERE)
