"""The documentation is true where a program can tell: commands, links, paths, keys, quoted files."""

import ast
import dataclasses
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from PIL import Image

from cocoop import cli, io
from cocoop.backbone.vision_changes import ImageChanges
from cocoop.methods.base import Method, Task
from cocoop.planning import Plan, files
from cocoop.source_code import canonical
from cocoop.text.changes import TextChanges
from tests import docs, forked

REPOSITORY = io.REPOSITORY
METHODS, CONFIG, README = Path("docs/methods.md"), Path("config/README.md"), Path("README.md")
NOT_OURS = {
    "git",
    "cd",
    ".",
    "conda",
    "$EDITOR",
    "apptainer",
    "squeue",
    "pip",
    "bash",
    "mkdir",
}  # other people's programs
SCHEMAS = REPOSITORY / "workflow/schemas"
LONGEST = 120
every_page = pytest.mark.parametrize("page", docs.PAGES, ids=str)


@every_page
def test_commands_parse_and_name_existing_files(page):
    for command in docs.commands(page):
        try:
            check(docs.words(command))
        except (AssertionError, SystemExit) as error:
            raise AssertionError(f"{page}: {command!r}: {error}") from error


def check(words: list[str]) -> None:
    """Fails for a command of ours that does not exist, takes other options, or names a file that is not there."""
    program, rest = words[0], words[1:]
    if program == "make":
        assert {word for word in rest if "=" not in word and not word.startswith("-")} <= targets(), "no such target"
    elif program == "snakemake":
        parse_snakemake(rest)
    elif [program, *rest[:1]] == ["cocoop", "run"]:
        parse_snakemake(rest[1:])
    elif program == "cocoop":
        parse_cocoop(rest)
    elif rest[:2] == ["-m", "cocoop"]:
        parse_cocoop(rest[2:])
    elif program == "python":
        for path in rest:
            assert "/" not in path or path.startswith("other/") or (REPOSITORY / path).exists(), f"no such file: {path}"
    else:
        assert program in NOT_OURS, f"unknown program {program!r}"


@cache
def targets() -> set[str]:
    text = (REPOSITORY / "Makefile").read_text()
    return {".venv/bin/.installed", *re.findall(r"^([a-z-]+):", text, re.M)}


def parse_cocoop(words: list[str]) -> None:
    if "--help" in words or words == ["STAGE"]:
        return
    arguments = vars(cli.parser().parse_args(words))
    for path in arguments.get("configfile") or []:
        exists(path)


def parse_snakemake(words: list[str]) -> None:
    from snakemake.cli import get_argument_parser

    arguments = get_argument_parser().parse_args(words)
    for path in arguments.configfile or []:
        exists(path)
    for profile in arguments.profile or []:
        assert (REPOSITORY / profile).is_dir(), f"no profile {profile}"


def exists(path: Path) -> None:
    """A path with a folder is the repository's; one without is the reader's own."""
    assert "/" not in str(path) or (REPOSITORY / path).is_file(), f"no such file: {path}"


@every_page
def test_links_lead_to_files_and_headings(page):
    for link in docs.links(page):
        target = (page.parent / link.file) if link.file else page
        resolved = Path(os.path.normpath(target))
        assert (REPOSITORY / resolved).exists(), f"{page}: link to {link.file}"
        assert not link.anchor or link.anchor in docs.anchors(resolved), f"{page}: no heading for #{link.anchor}"


@every_page
def test_paths_in_the_text_exist(page):
    folders = ("cocoop/", "tests/", "config/", "docs/", "workflow/", "benchmarks/", "containers/", "slurm/")
    for span in docs.spans(page):
        if span.startswith(folders) and re.fullmatch(r"[\w./-]+", span) and not written_by_the_reader(span):
            assert (REPOSITORY / span).exists(), f"{page}: {span}"


def written_by_the_reader(path: str) -> bool:
    pages = (METHODS, README)
    created = {block.file for page in pages for block in docs.blocks(page)}
    return path in created or any(part.isupper() or part.startswith(("NAME.", "birds.")) for part in Path(path).parts)


@every_page
def test_lines_are_short_enough_to_compare(page):
    if page == Path("docs/messages.md"):
        return
    quoted = {line for block in docs.blocks(page) for line in block.text.splitlines()}
    long = [line for line in docs.read(page).splitlines() if len(line) > LONGEST and not line.startswith("|")]
    assert not [line for line in long if line not in quoted], page


KINDS = {
    (CONFIG, "Keys of a configuration"): "config",
    (CONFIG, "Experiments"): "experiment",
    (CONFIG, "Methods"): "method",
    (CONFIG, "Datasets"): "dataset",
    (CONFIG, "Backbones"): "backbone",
    (Path("config/paper/README.md"), "The paper's numbers"): "paper",
}


@pytest.mark.parametrize(("page", "heading"), KINDS, ids=lambda part: str(part))
def test_tables_of_keys_are_complete(page, heading):
    [found] = [names for above, names in docs.tables(page) if above == heading]
    assert properties(KINDS[page, heading]) == named_first(found)


def properties(kind: str) -> set[str]:
    return set(io.read_yaml(SCHEMAS / f"{kind}.schema.yaml")["properties"])


def named_first(names: list[str]) -> set[str]:
    return {name for name in names if re.fullmatch(r"[a-z_0-9]+", name)}


def test_methods_page_names_what_there_is():
    tables = dict(docs.tables(METHODS))
    assert set(tables["Keys of the YAML file"]) <= properties("method")
    members = {re.split(r"\W", name.removeprefix("self."))[0] for name in tables["The contract"]}
    methods = {name for name in members if name != "noise"}
    assert all(hasattr(Method, name) for name in methods), methods
    for changes in (TextChanges, ImageChanges):
        rows = re.split(rf"\| `{changes.__name__}\(...\)`", docs.read(METHODS))[1].split("\n\n")[0]
        assert set(re.findall(r"^\| `(\w+)=", rows, re.M)) == {part.name for part in dataclasses.fields(changes)}
    text = docs.read(METHODS)
    described = text[text.index("**`Task`**") : text.index("**A classifier**")]
    assert all(f"`{part.name}`" in described for part in dataclasses.fields(Task))


def test_methods_page_quotes_kgcoop_as_it_is():
    code, settings = (next(b for b in docs.blocks(METHODS) if b.language == kind) for kind in ("python", "yaml"))
    file = (REPOSITORY / "cocoop/methods/kgcoop.py").read_text(encoding="utf-8")
    assert canonical(ast.parse(code.text)) == canonical(ast.parse(file))
    whole, quoted = io.read_yaml(REPOSITORY / "config/methods/kgcoop.yaml"), yaml.safe_load(settings.text)
    params = quoted.pop("params")
    assert {key: whole[key] for key in quoted} == quoted
    assert {key: whole["params"][key] for key in params} == params


def test_readme_shows_the_small_example():
    [shown] = [b.text for b in docs.blocks(README) if b.language == "yaml" and not b.file]
    assert yaml.safe_load(shown) == io.read_yaml(REPOSITORY / "config/examples/small.yaml")


def test_examples_of_configurations_are_valid():
    examples = [yaml.safe_load(block.text) for block in docs.blocks(CONFIG) if block.language == "yaml"]
    plans = [Plan({**files.load(), **example}) for example in examples]
    assert len(plans) == 3
    assert plans[1].evaluations == plans[2].evaluations


def copied(folder: Path) -> Path:
    """A copy of the repository to work in, with the files that the pages tell the reader to write."""
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("cocoop", "config", "workflow", "tests", "docs"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
    for name in ("environment.yml", "pyproject.toml", "README.md", "Makefile"):
        shutil.copy(REPOSITORY / name, folder)
    for block in docs.blocks(METHODS):
        if block.file and not (folder / block.file).exists():
            (folder / block.file).write_text(block.text, encoding="utf-8")
    return folder


def run(command: str, folder: Path) -> str:
    environment = os.environ | {
        "PATH": f"{forked.python()}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PYTHONPATH": str(folder),
    }
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def test_a_method_written_by_the_page_is_planned(tmp_path):
    folder = copied(tmp_path)
    assert (folder / "cocoop/methods/anchored.py").exists()
    said = run("python -m cocoop status --configfile anchored-run.yaml", folder)
    assert "left" in said
    assert re.search(r"^train +3$", run("snakemake -n --configfile anchored-run.yaml", folder), re.M)


@pytest.mark.slow
def test_a_method_written_by_the_page_passes_and_runs(tmp_path):
    folder = copied(tmp_path)
    said = ""
    for command in docs.commands(METHODS):
        if "anchored-run.yaml" in command or "-k anchored" in command:
            said = run(command, folder)
    assert "Anchored CoOp (strong)" in said
    assert "anchor" in next((folder / "results/runs").rglob("anchored/**/history.csv")).read_text().splitlines()[0]


@pytest.mark.slow
def test_small_example_runs_by_itself(tmp_path):
    folder = copied(tmp_path)
    commands = [command for command in docs.commands(README) if "examples/small.yaml" in command]
    assert len(commands) == 2
    for command in commands:
        said = run(command, folder)
    assert "KgCoOp" in said
    assert "Nothing to be done" in run(commands[0], folder)
    learned = sorted((folder / "results/runs").rglob("learned.safetensors"))
    first = next(path for path in learned if "/coop/" in str(path))
    log = next((folder / "results/logs/train").rglob("coop/**/*.log")).read_text().splitlines()[0]
    before = first.read_bytes()
    shutil.rmtree(first.parent)
    run(log.removeprefix("command: "), folder)
    assert first.read_bytes() == before


@pytest.mark.slow
def test_own_pictures_are_added_checked_and_planned(tmp_path):
    """The README's walk with a folder of pictures, up to the plan; the tiny CLIP does not know most birds."""
    folder = copied(tmp_path)
    for number, bird in enumerate(("albatross", "bullfinch", "cormorant", "dunnock")):
        for i in range(8):
            path = folder / "pictures/birds" / bird / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (60 * number, 20 * i, 128)).save(path)
    new, _, start, *_ = [line for line in docs.commands(README) if "birds" in line or "own.yaml" in line]
    run(new, folder)
    said = run("python -m cocoop dataset check birds --backbone tiny || true", folder)
    assert re.search(r"problem: .*\b(\d) of 4 classes of birds the same text feature\s+as another class", said), said
    settings = next(block for block in docs.blocks(README) if block.file == "own.yaml").text
    assert yaml.safe_load(settings) == io.read_yaml(folder / "own.yaml")
    assert re.search(r"^train +5$", run(f"{start} -n", folder), re.M)
