"""Ctrl-C: a stage stops within two seconds, all of Snakemake soon after, and says in one line how to continue."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from cocoop import io
from tests.faults import processes

SECONDS, SNAKEMAKE_SECONDS = 2.0, 5.0  # Snakemake waits for its own threads
TARGETS = {
    "text_tower": "results/backbones/small/text_tower.safetensors",
    "views": "results/views/small/flags/base/shots4/seeds1-2/views0-6.safetensors",
    "train": "results/runs/small/flags/base/coop/shots4/seeds1-2/learned.safetensors",
}
CONTINUES = "run the same command again to continue"
TIMES, TIMES_IN_CI = 12, 2


@pytest.mark.parametrize("stage", ["download", "text-tower", "features", "views", "train", "evaluate", "tables"])
def test_a_stage(stage, world, made, tmp_path, full, figures):
    length = processes.run(world.arguments(stage, tmp_path / "timed", made), tmp_path / "log").seconds
    source, stopped, tried = random.Random(stage), 0, 0
    while stopped < (TIMES if full else TIMES_IN_CI):
        tried += 1
        running = processes.Stage(world.arguments(stage, tmp_path / f"out{tried}", made), tmp_path / "log")
        running.process.join(source.uniform(0.02, length))
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(running.process.pid, signal.SIGINT)
        start = time.monotonic()
        ended = running.wait()
        if ended.code == 0:
            continue
        assert time.monotonic() - start < SECONDS
        assert ended.code == 130, ended.text
        assert ended.text.count(CONTINUES) == 1 and "Traceback" not in ended.text, ended.text
        stopped += 1
        figures.add("Ctrl-C in a stage", "stopped within 2 s, one line")


def test_snakemake(world, tmp_path, full, figures):
    """SIGINT to the whole group, as a terminal sends it, while a job runs; then the same command continues."""
    for rule in TARGETS if full else ["train"]:
        folder = tmp_path / rule
        folder.mkdir()
        os.symlink(world.folder / "config", folder / "config")
        interrupt_and_continue(folder, rule, TARGETS[rule])
        figures.add("Ctrl-C through Snakemake", "stopped within 5 s, the same command finished it")


def interrupt_and_continue(folder, rule: str, target: str) -> None:
    running = start(folder, target)
    wait_for(folder / f"results/logs/{rule}", running)
    os.killpg(running.pid, signal.SIGINT)
    begun = time.monotonic()
    said, _ = running.communicate(timeout=60)
    assert time.monotonic() - begun < SNAKEMAKE_SECONDS, said
    assert running.returncode != 0
    assert said.count(CONTINUES) == 1, said
    done = start(folder, target)
    said, _ = done.communicate(timeout=300)
    assert done.returncode == 0, said[-3000:]


def start(folder, target: str = "results/backbones/small/text_tower.safetensors"):
    snakefile = str(io.REPOSITORY / "workflow/Snakefile")
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        snakefile,
        "--cores",
        "1",
        "--rerun-incomplete",
        target,
    ]
    environment = {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, start_new_session=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )  # fmt: skip


def wait_for(path, running) -> None:
    """Until the first job has begun its log."""
    limit = time.monotonic() + 120
    while not list(path.rglob("*.log")) and running.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    assert running.poll() is None, running.communicate()[0]
