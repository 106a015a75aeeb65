"""Ctrl-C: a stage, and all of Snakemake, stops within two seconds and says in one line how to continue."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from cocoop import io
from tests.faults import processes, workflow
from tests.faults.world import STAGES

SECONDS = 2.0 * int(
    os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
)  # beside other tests, each has a part of the machine
RULES = (
    "download", "manifest", "fewshot", "text_tower", "features", "views", "train", "evaluate", "configuration", "experiment",
    "collect", "tables", "paired", "figures", "page",
)  # fmt: skip
LOGS = {"page": ".", "configuration": "."}  # results/logs/report.log
TRIES = 20
CONTINUES = "run the same command again to continue"
TIMES, TIMES_IN_CI = 12, 2


@pytest.mark.parametrize("stage", [*STAGES, "paired", "figures"])
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
    folder, rules = workflow.folder_of(world, tmp_path / "here"), RULES if full else ["views"]
    said, gone = [], []
    for rule in rules:
        one, other = interrupt_and_continue(folder, rule, next(iter(world.job(rule).outputs.values())))
        said.append(one)
        gone.append(other)
        figures.add(
            "Ctrl-C through Snakemake, in every rule", "stopped within 2 s, one line, the same command finished it"
        )
    if full:
        figures.add(
            "measured: Ctrl-C through Snakemake", f"the line after {max(said):.1f} s, gone after {max(gone):.1f} s"
        )


def interrupt_and_continue(folder: Path, rule: str, target: str) -> tuple[float, float]:
    """Seconds until the line was said and until Snakemake was gone."""
    for _ in range(TRIES):
        running = workflow.start(folder, "--rerun-incomplete", target)
        workflow.wait_for_log(folder / "results/logs" / LOGS.get(rule, rule), running)
        said, gone, code, text = workflow.interrupted(running, CONTINUES)
        if not (folder / target).exists():
            assert code not in (0, None) and text.count(CONTINUES) == 1, text
            assert said < SECONDS and gone < SECONDS, f"the line after {said:.1f} s, gone after {gone:.1f} s"
            workflow.finish(folder, "--rerun-incomplete", target)
            return said, gone
        again(folder, rule, target)  # it had just finished
    raise AssertionError(f"{rule} never ran long enough to be stopped")


def again(folder: Path, rule: str, target: str) -> None:
    path = folder / target
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    for log in (folder / "results/logs" / LOGS.get(rule, rule)).rglob("*.log"):
        log.unlink()


SWALLOWED = """
import os, signal, sys
from cocoop import cli
from cocoop.cli import usage
from cocoop.errors import UserError

def measured(used):
    if sys.argv[1] == "interrupted":
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            pass
    raise UserError("x.safetensors: not a valid file.")

usage.measured = measured
sys.exit(cli.main(["status"]))
"""


@pytest.mark.parametrize(("how", "code", "said"), [("interrupted", 130, CONTINUES), ("damaged", 2, "not a valid file")])
def test_a_library_that_takes_the_interrupt_for_an_error(how, code, said):
    done = subprocess.run([sys.executable, "-c", SWALLOWED, how], capture_output=True, text=True, cwd=io.REPOSITORY)
    assert done.returncode == code
    assert said in done.stderr and done.stderr.count("\n") == 1, done.stderr
