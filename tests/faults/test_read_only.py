"""A finished benchmark that nobody may write to: it can be looked at, and what would write says so in one line."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults import workflow
from tests.faults.world import contents

SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow.SNAKEFILE), "--cores", "1"]
COCOOP = [sys.executable, "-m", "cocoop"]


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A bind mount of the folder over itself: root, too, cannot write."""
    for options in (["--bind", str(folder)], ["-o", "remount,bind,ro"]):
        done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
        if done.returncode:
            subprocess.run(["umount", "--lazy", str(folder)], capture_output=True)
            pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def finished(benchmark, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "here"
    shutil.copytree(benchmark, folder, symlinks=True)
    return folder


def said(command: list[str], folder: Path) -> tuple[int, str]:
    before = contents(folder / "results")
    ended = workflow.ended(workflow.popen(command, folder))
    assert contents(folder / "results") == before
    return ended


def test_looking_at_it(finished, figures):
    with read_only(finished):
        for command, expected in (("status", "everything is done."), ("show", "Flags"), ("plan", "For times, add")):
            code, text = said([*COCOOP, command], finished)
            assert code == 0 and expected in text and "Traceback" not in text, text
            figures.add("finished benchmark, read-only", "can be looked at")


@pytest.mark.parametrize("arguments", [["-n"], []])
def test_snakemake_with_nothing_to_do(arguments, finished, figures):
    with read_only(finished / "results"):
        code, text = said([*SNAKEMAKE, *arguments], finished)
        assert code == 0 and "Nothing to be done" in text, text
        figures.add("finished benchmark, read-only", "nothing to be done")


@pytest.mark.parametrize("arguments", [["-n"], []])
def test_snakemake_where_it_cannot_write_its_own_files(arguments, finished, figures):
    with read_only(finished):
        code, text = said([*SNAKEMAKE, *arguments], finished)
        lines = [line for line in text.splitlines() if line.startswith("error: ")]
        assert code == 2 and len(lines) == 1 and str(finished) in lines[0] and "read-only" in lines[0], text
        assert "Traceback" not in text
        figures.add("finished benchmark, read-only", "one line, nothing changed")


@pytest.mark.parametrize("gone", [["report.html"], []])
def test_snakemake_with_something_to_do(gone, benchmark, tmp_path, figures):
    """Where a result would be made again, Snakemake itself names it; else we name the folder."""
    folder = tmp_path / "here"
    shutil.copytree(benchmark, folder, symlinks=True)
    tables = "results/experiments/flags/tables"
    shutil.rmtree(folder / tables)
    for name in gone:
        (folder / "results" / name).unlink()
    with read_only(folder / "results"):
        code, text = said(SNAKEMAKE, folder)
        expected = f"error: {folder}/results: read-only" if gone else "Write-protected output files"
        assert code == 1 and text.count(expected) == 1 and "Traceback" not in text, text
        figures.add("finished benchmark, read-only", "one line, nothing changed")
    workflow.finish(folder)  # it was not left locked, and goes on
    assert contents(folder / tables) == contents(benchmark / tables)


def test_data_root_on_another_file_system(world, benchmark, tmp_path, full, figures):
    """Snakemake up to features and views, results here and pictures there; in CI test_disk.py does it stage by stage."""
    if not full:
        return
    folder, disk = workflow.folder_of(world, tmp_path / "here"), tmp_path / "data"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        workflow.finish(folder, "--config", f"data_root={disk}", "--until", "features", "views")
        assert contents(disk / "flags") == contents(benchmark / "data/flags")
        for part in ("features", "views", "datasets"):
            assert contents(folder / "results" / part) == contents(benchmark / "results" / part), part
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
    figures.add("data root on another file system, through Snakemake", "same bytes")
