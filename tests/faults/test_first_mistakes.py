"""docs/first_mistakes.md: what a beginner sees after each of the usual mistakes. The page is written by this test in full mode."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from cocoop import io, places
from cocoop.cli import main
from tests.data.builders import lay_out, picture
from tests.faults.test_through_snakemake import clone as clone
from tests.faults.test_through_snakemake import dry

PAGE = io.REPOSITORY / "docs" / "first_mistakes.md"
HEAD = """# First mistakes

What you see after the mistakes that are easiest to make, and what you are told without being stopped. The test
`tests/faults/test_first_mistakes.py` makes each of them and compares the messages; `make faults` writes this page. All
other messages about configurations are in [messages.md](messages.md).

## In your configuration

With the text on the left in `mine.yaml`, `python -m cocoop plan --configfile mine.yaml` and `snakemake -n --configfile
mine.yaml` print one line, exit with code 2, and start nothing.

| `mine.yaml` | message |
| --- | --- |
"""
YAML = """
Snakemake reads the file before the benchmark does. If it is not there, or not YAML at all, Snakemake only says so (in
the last line of a traceback if it is not there); `python -m cocoop plan --configfile mine.yaml` names the line:

| `mine.yaml` | `snakemake` | `python -m cocoop plan` |
| --- | --- | --- |
"""
PLACES = """
## Where and how you start it

| command | message |
| --- | --- |
"""
IMAGES = """
## Your images

`python -m cocoop dataset new` reads the images first. It writes nothing if one of these is wrong:

| folder | message |
| --- | --- |
"""
NOTES = """
These are taken as they are, and noted; the notes about the data also stand under the tables of the results:

| folder | note |
| --- | --- |
"""
WRONG = (
    'seeds: "1,2,3"',
    "seeds: 3",
    "device: gpu",
    "backbone: vit_b61",
    "experimets: [base_to_new]",
    "variants: [clip, coop]",
    "variants: {coop: {training: {lr: 2e-3}}}",
    "variants: {coop: {training: {epoch: 5}}}",
    "variants:\n  coop:\n  training: {epochs: 5}",
    "experiments:\n  - base_to_new:\n    train_datasets: [digits]",
    "experiments:\n  base_to_new:\n  train_datasets: [digits]",
    "experiments:\n  - base_to_new:\ntrain_datasets: [digits]",
    "experiments: base_to_new",
    "experiments:\n  - base_to_new: {train_datasets: [digit]}",
    "experiments:\n  - base_to_new: {variants: [clip, cocop]}",
    "experiments:\n  - base_to_new: {shots: [-4]}",
    "experiments:\n  - base_to_new: {shots: 16}",
)
UNREADABLE = ("seeds: [1, 2", "variants:\n\tcoop: {}", "- seeds: [1]", None)
TWO, FOUR = ("cat", "dog"), ("cat", "dog", "emu", "fox")


class Pictures(NamedTuple):
    """A folder of pictures in words, and its files; `number` of them in each class folder, and others as they are."""

    said: str
    folders: tuple[str, ...]
    others: tuple[str, ...] = ()
    number: int = 40


REFUSED = (
    Pictures("it does not exist", ()),
    Pictures("it is empty", (), ("notes.txt",)),
    Pictures("one class only", ("cat",)),
    Pictures("pictures without class folders", (), ("1.jpg", "2.jpg")),
    Pictures("class folders whose pictures are of another kind", (), ("cat/1.heic", "dog/1.heic")),
    Pictures("a class folder whose pictures are broken", TWO, ("emu/1.png", "emu/2.png", "emu/3.png", "emu/4.png")),
    Pictures("a class with one picture", TWO, ("emu/1.jpg",)),
)
TAKEN = (
    Pictures("class folders inside a folder `images`", tuple(f"images/{name}" for name in FOUR)),
    Pictures("train and val, but no test", tuple(f"{part}/{name}" for part in ("train", "val") for name in FOUR)),
    Pictures("train only", tuple(f"train/{name}" for name in FOUR)),
    Pictures("one class folder whose pictures are of another kind", FOUR, ("gnu/1.heic", "gnu/2.heic")),
    Pictures("two classes", TWO),
    Pictures("fewer pictures in a class than the paper's 16 shots", FOUR, number=10),
)
IMAGE = picture(0)


def shown(text: str | None) -> str:
    return (
        "(no such file)" if text is None else "<br>".join(f"`{line}`" for line in text.replace("\t", "⇥").splitlines())
    )


def cell(text: str) -> str:
    return f"`` {text.strip().replace('|', chr(92) + '|')} ``"


@pytest.fixture
def folder(clone, monkeypatch) -> Path:
    monkeypatch.chdir(clone)
    monkeypatch.setattr(places, "SHIPPED", clone)
    return clone


def plan(folder: Path, text: str | None, capsys) -> str:
    """The one line of `plan` for a configuration with this text."""
    (folder / "mine.yaml").unlink(missing_ok=True)
    if text is not None:
        (folder / "mine.yaml").write_text(f"{text}\n")
    capsys.readouterr()
    code, said = main(["plan", "--configfile", "mine.yaml"]), capsys.readouterr()
    assert (code, said.out, said.err.count("\n")) == (2, "", 1), text
    return said.err


def lines_of_snakemake(folder: Path) -> tuple[int, list[str]]:
    done = dry(folder, "--configfile", "mine.yaml")
    said = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    return done.returncode, [line for line in said if line and not line.startswith("Using workflow specific profile ")]


def new(folder: Path, pictures: Pictures, capsys) -> tuple[int, str]:
    """Exit code and all that `dataset new pictures` prints."""
    place = folder / f"case{len(list(folder.iterdir()))}"
    seed = iter(range(10**6))
    tree = {f"{name}/{n}.jpg": picture(next(seed)) for name in pictures.folders for n in range(pictures.number)}
    tree |= {name: IMAGE if name.endswith("jpg") else b"no picture: " + name.encode() for name in pictures.others}
    lay_out(tree, place / "pictures") if tree else place.mkdir()
    capsys.readouterr()
    code = main(["dataset", "new", str(place / "pictures"), "--name", place.name])
    said = capsys.readouterr()
    assert (code == 0) == (folder / f"config/datasets/{place.name}.yaml").exists()
    return code, (said.err if code else said.out).replace(f"{place}/", "").replace(place.name, "NAME")


def python(*words: str, **environment: str) -> Iterator[str]:
    """The lines that this Python prints, without its packages if told so."""
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert done.returncode
    yield from done.stderr.replace(sys.executable, "python").splitlines()


def started(folder: Path, capsys) -> Iterator[tuple[str, str]]:
    """Commands that cannot work where they are given, and what they say."""
    (folder / "elsewhere").mkdir()
    os.chdir(folder / "elsewhere")
    [line] = [line for line in python("-m", "snakemake", "--cores", "1") if line]
    yield "`snakemake --cores all` outside the repository", line
    [line] = python("-S", "-m", "cocoop", "plan", PYTHONPATH="")
    yield "`python -m cocoop plan` outside the repository, without the environment", line
    os.chdir(io.REPOSITORY)
    [line] = python("-S", "-m", "cocoop", "plan", PYTHONPATH="")
    yield "`python -m cocoop plan` without the environment", line
    os.chdir(folder)
    for words in (["show"], ["show", "--configfile", "mine.yml"], ["dataset", "check", "bird"]):
        capsys.readouterr()
        assert main(words) == 2
        yield f"`python -m cocoop {' '.join(words)}`", capsys.readouterr().err


def page(folder: Path, capsys) -> str:
    text = HEAD + "".join(f"| {shown(wrong)} | {cell(plan(folder, wrong, capsys))} |\n" for wrong in WRONG) + YAML
    for unreadable in UNREADABLE:
        said = plan(folder, unreadable, capsys)
        _, lines = lines_of_snakemake(folder)
        last = 1 if any("Traceback" in line for line in lines) else 2  # lines
        theirs = " ".join(line.strip() for line in lines[-last:]).replace(f"{folder}/", "")
        text += f"| {shown(unreadable)} | {cell(theirs)} | {cell(said)} |\n"
    text += PLACES + "".join(f"| {command} | {cell(said)} |\n" for command, said in started(folder, capsys)) + IMAGES
    for pictures in REFUSED:
        code, said = new(folder, pictures, capsys)
        assert code == 2 and said.count("\n") == 1, said
        text += f"| {pictures.said} | {cell(said)} |\n"
    text += NOTES
    for pictures in TAKEN:
        code, said = new(folder, pictures, capsys)
        assert code == 0
        notes = [line for line in said.splitlines() if line.startswith("note: ")]
        assert notes
        text += f"| {pictures.said} | {'<br>'.join(map(cell, notes))} |\n"
    return text


def test_the_page_lists_what_beginners_see(folder, full, capsys):
    text = page(folder, capsys)
    if full:
        io.write_text(PAGE, text)
    assert PAGE.read_text(encoding="utf-8") == text, "run `make faults` to write docs/first_mistakes.md again"


def test_snakemake_says_the_same_and_starts_nothing(folder, capsys):
    for wrong in WRONG:
        said = plan(folder, wrong, capsys)
        assert lines_of_snakemake(folder) == (2, said.splitlines()), wrong
    for unreadable in UNREADABLE:
        plan(folder, unreadable, capsys)
        assert lines_of_snakemake(folder)[0]
    assert not (folder / "results").exists()
