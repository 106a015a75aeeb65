"""A wrong or hostile configuration through a real Snakemake: one line, exit code 2, no job started, no code of the file run."""

import shutil
import subprocess
from pathlib import Path

import pytest

from cocoop import io
from tests import forked
from tests.faults.test_messages import CONFIGURATION, COOP, TINY, kept, made, said, written

EACH = {CONFIGURATION: 6, COOP: 6, TINY: 2}  # of the page's rows on such a file, CI tries each 6th or 2nd
HOSTILE = {
    "an expression": "__use_yte__: true\nbackbone: ?__import__('os').system('touch canary')\n",
    "a definition": "__use_yte__: true\n__definitions__:\n  - import os; os.system('touch canary')\n",
    "a call": "backbone: !!python/object/apply:os.system ['touch canary']\n",
    "a name": "backbone: !!python/name:os.system\n",
}


def dry(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """`snakemake -n` in a clone that has fewer files in its registries."""
    return forked.snakemake("-n", "--cores", "1", "--workflow-profile", "none", *arguments, folder=folder)


def assert_refused(done: subprocess.CompletedProcess, message: str) -> None:
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {message}\n")


@pytest.fixture
def clone(tmp_path) -> Path:
    for name in ("cocoop", "workflow"):
        shutil.copytree(io.REPOSITORY / name, tmp_path / name)
    return kept(tmp_path).parent


@pytest.fixture
def folder(clone) -> Path:
    return clone


@pytest.mark.parametrize("what", HOSTILE)
def test_no_code_of_a_configuration_runs(what, folder):
    path = folder / "config" / CONFIGURATION
    path.write_text(path.read_text().replace("backbone: tiny", HOSTILE[what].rstrip()))
    done = dry(folder)
    assert not list(folder.glob("**/canary"))
    assert done.returncode == 2
    assert done.stderr.startswith("error: config/config.yaml")
    assert done.stderr.count("\n") == 1


def test_the_rows_of_the_page(folder, full):
    """What docs/messages.md says is, to the letter, all that a user sees."""
    tried = 0
    for file, step in EACH.items():
        texts = [text for name, _, text in written() if name == file]
        for text in texts[:: 1 if full else step]:
            message = said(folder / "config", file, text)
            with made(folder / "config" / file, text):
                assert_refused(dry(folder), message)
            tried += 1
    assert tried >= 7


def test_an_override_is_named_in_the_message(folder):
    done = dry(folder, "--config", "seeds_per_job=0")
    assert_refused(done, "config/config.yaml + --config: seeds_per_job: 0 is less than the minimum of 1.")


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ("seeds: [1]\nseeds: [2]\n", "mine.yaml, line 2: not valid YAML (key 'seeds' appears twice)."),
        ("__use_yte__: true\n", "config/config.yaml + mine.yaml: top level: unknown key '__use_yte__'; known: "),
        ("seeds: [1.0]\n", "config/config.yaml + mine.yaml: seeds.0: expected an integer, got 1.0; write 1."),
    ],
    ids=["twice", "yte", "type"],
)
def test_named_files_are_read_again(added, expected, folder):
    """Snakemake has read them before: what it let pass is refused, and the message says in which files it stands."""
    (folder / "mine.yaml").write_text(added)
    done = dry(folder, "--configfile", "config/config.yaml", str(folder / "mine.yaml"), "--config", "device=cpu")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {expected}")
    assert done.stderr.count("\n") == 1


def test_one_file_laid_over_another(folder):
    (folder / "mine.yaml").write_text("seeds: [1]\nexperiments: {parameter_matched: {train_datasets: [digits]}}\n")
    files = ("--configfile", "config/config.yaml", "mine.yaml")
    both, over = dry(folder, *files), dry(folder, *files, "--config", "seeds_per_job=1", "backbone=tiny")
    assert (both.returncode, over.returncode) == (0, 0), both.stderr + over.stderr
    counted = [line.split() for line in both.stdout.splitlines()]
    assert ["fewshot", "1"] in counted
    assert ["train", "3"] in counted  # of parameter_matched alone: a mapping of experiments replaces the demo's list
