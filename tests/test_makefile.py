"""What make removes, keeps and says."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cocoop.io import REPOSITORY

TOOLS = ("sh", "make", "nproc", "rm", "find", "ls", "grep", "du", "cut", "mkdir", "touch")


@pytest.fixture
def make(tmp_path):
    """`make(target)` in a folder with a Makefile, results and images, where no Snakemake and no Python is installed."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(shutil.which(name))
    folder = tmp_path / "here"
    for path in (
        "results/runs/a/learned.safetensors",
        "results/README.md",
        "data/digits/0.png",
        ".snakemake/log/a.log",
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("kept")
    shutil.copy(REPOSITORY / "Makefile", folder)

    def run(target: str) -> subprocess.CompletedProcess:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        environment = inherited | {"PATH": str(tools)}
        return subprocess.run(
            [str(tools / "make"), target], cwd=folder, env=environment, capture_output=True, text=True
        )

    run.folder = folder
    return run


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"Makefile"}


def test_clean_says_what_it_keeps(make):
    done = make("clean")
    assert done.returncode == 0, done.stderr
    assert files(make.folder) == {"results/runs/a/learned.safetensors", "results/README.md", "data/digits/0.png"}
    *_, results, data = done.stdout.splitlines()
    assert results.startswith("kept: results/ (") and results.endswith("); make clean-results removes them")
    assert data == "kept: data/, the images"


def test_clean_results_keeps_the_readme_and_the_images(make):
    assert make("clean-results").returncode == 0
    assert files(make.folder) == {"results/README.md", "data/digits/0.png", ".snakemake/log/a.log"}
    assert "kept: results/" not in make("clean").stdout


def test_clean_results_removes_nothing_under_a_lock(make):
    lock = make.folder / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir()
    lock.touch()
    done = make("clean-results")
    assert done.returncode == 2
    assert "run `make unlock` and try again." in done.stderr  # and not run by the shell that prints it
    assert lock.exists()
    assert (make.folder / "results/runs/a/learned.safetensors").exists()


def test_unlock_installs_nothing(make):
    done = make("unlock")
    assert done.returncode == 2
    assert (
        "error: no snakemake here; activate the environment it was started from and run: snakemake --unlock"
        in done.stderr
    )
    assert not (make.folder / ".venv").exists()
    snakemake = make.folder / ".venv/bin/snakemake"
    snakemake.parent.mkdir(parents=True)
    snakemake.write_text('#!/bin/sh\necho "called with $*"\n')
    snakemake.chmod(0o755)
    assert make("unlock").stdout == "called with --unlock\n"
