"""What `python -m cocoop status` reads from files: states, reasons, commands, time left."""

import base64
import json
import os
import subprocess
import sys
import time

import pytest

from cocoop.cli import CUT_OFF, main
from cocoop.io import REPOSITORY
from cocoop.planning.files import plan_of
from cocoop.planning.jobs import jobs_of
from cocoop.planning.status import head
from cocoop.planning.status.groups import sort_out
from cocoop.planning.status.logs import ending
from cocoop.planning.status.report import MOST_SHOWN, name, show
from cocoop.planning.status.states import KILLED, Seen, State, look

FULL = "command: x\ntrain:   0%|          | 0/9 [00:00<?, ?step/s]\ntrain: 100%|##########| 9/9 [00:03<00:00,  3.00step/s]\n"
CUT = "command: x\ntrain:  40%|####      | 400/1000 [00:10<01:15,  8.00step/s]\n"
DEMO = REPOSITORY / "config" / "config.yaml"


@pytest.fixture(scope="module")
def plan():
    return plan_of([DEMO])


def write(path, text="", time=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if time is not None:
        os.utime(path, (time, time))


def finish(folder, job, seconds=None):
    for output in job.outputs.values():
        write(folder / output)
    write(folder / job.log)
    if seconds is not None:
        write(folder / job.usage, json.dumps({"s": seconds}) + "\n")


def mark(folder, output, time):
    """What Snakemake leaves while a job is on its way; a long name is cut into folders."""
    code = base64.urlsafe_b64encode(output.encode()).decode()
    pieces = [code[at : at + 254] for at in range(0, len(code), 254)]
    write(folder.joinpath(".snakemake/incomplete", *("@" + piece for piece in pieces[:-1]), pieces[-1]), "{}", time)


def fail(folder, job, text, inputs=True):
    """A job that was tried: its inputs are there, and a log."""
    for path in job.files * inputs:
        write(folder / path)
    write(folder / job.log, text)


def started(folder, command, name="2026-01-01T000000", age=0.0):
    """Snakemake's own log."""
    header = f"\nSNAKEMAKE\n=========\n  Date: 2026-11-24\n  Command: /bin/{command}\n  Host: here\n"
    write(folder / f".snakemake/log/{name}.snakemake.log", header, time.time() - age)


def state(folder, job):
    return look([job], folder)[0].state


def first(job):
    """The first output, by which a job is asked for."""
    return next(iter(job.outputs.values()))


def of_stage(plan, stage):
    return [job for job in jobs_of(plan) if job.stage.name == stage]


def test_states_of_one_training(plan, tmp_path):
    job = of_stage(plan, "train")[0]
    assert state(tmp_path, job) is State.LEFT
    for path in job.files:
        write(tmp_path / path)
    write(tmp_path / ".snakemake/locks/0.input.lock")
    write(tmp_path / job.log, "", time=100)
    mark(tmp_path, first(job), time=200)
    assert state(tmp_path, job) is State.QUEUED
    write(tmp_path / job.log, "settings", time=300)
    assert state(tmp_path, job) is State.RUNNING
    (tmp_path / ".snakemake/locks/0.input.lock").unlink()
    assert state(tmp_path, job) is State.LEFT  # interrupted together with Snakemake
    (next(path for path in (tmp_path / ".snakemake/incomplete").rglob("*") if path.is_file())).unlink()
    assert state(tmp_path, job) is State.FAILED
    finish(tmp_path, job)
    assert state(tmp_path, job) is State.DONE


def test_job_whose_input_failed_is_left(plan, tmp_path):
    job = next(job for job in of_stage(plan, "evaluate") if job.about.run.variant == "coop")
    write(tmp_path / job.log)  # Snakemake makes empty logs for the rest of a failed group
    assert state(tmp_path, job) is State.LEFT


def test_long_marks_are_put_together(plan, tmp_path):
    job = of_stage(plan, "evaluate")[0]
    write(tmp_path / ".snakemake/locks/0.input.lock")
    long = "x" * 300 + ".json"
    mark(tmp_path, long, 5)
    mark(tmp_path, first(job), 5)
    assert state(tmp_path, job) is State.QUEUED


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("settings: {}\nerror: the loss is nan\n", "the loss is nan"),
        (
            "Traceback (most recent call last):\n  File x\nRuntimeError: CUDA out of memory\n",
            "RuntimeError: CUDA out of memory",
        ),
        ("train: 40%|####      |\n", KILLED),
        ("", KILLED),
    ],
)
def test_reason(tmp_path, text, reason):
    write(tmp_path / "log", text)
    assert Seen(None, State.FAILED, end=ending(tmp_path / "log")).reason == reason


def test_failed_run_is_named_with_log_and_commands(plan, tmp_path, capsys):
    job = next(
        job for job in of_stage(plan, "train") if name(job) == "train coop on digits/base, 16 shots, seeds 1-2-3"
    )
    fail(tmp_path, job, "error: out of luck\n")
    show(plan, tmp_path, [DEMO])
    out = capsys.readouterr().out
    assert "failed: train coop on digits/base, 16 shots, seeds 1-2-3: out of luck\n" in out
    assert f"  log:    {job.log}\n" in out
    assert f"  again:  snakemake --cores all --rerun-incomplete --configfile {DEMO} -- {first(job)}\n" in out
    assert (
        "  alone:  COCOOP_DEVICE=auto COCOOP_TEXT_BUDGET_MB=2048 COCOOP_IMAGE_STATES_MB=2048 python -m cocoop train --run '{"
        in out
    )
    line = next(line for line in out.splitlines() if line.startswith("train "))
    assert line.split() == ["train", "1", "14"]


def test_real_errors_come_first_and_every_failure_has_a_command(plan, tmp_path, capsys):
    """Without a profile there are no groups: whatever left no error was killed."""
    jobs = of_stage(plan, "train")
    for job in jobs:
        fail(tmp_path, job, "error: out of luck\n" if job == jobs[-1] else FULL)
    show(plan, tmp_path, [])
    lines = capsys.readouterr().out.splitlines()
    failed = [line for line in lines if line.startswith("failed: ")]
    assert failed[0] == f"failed: {name(jobs[-1])}: out of luck"
    assert len(failed) == len(jobs) > MOST_SHOWN
    assert all(line.endswith(KILLED) for line in failed[1:])
    assert sum(line.startswith("  again:  ") for line in lines) == len(jobs)


@pytest.fixture(scope="module")
def curves():
    """Two trainings of one variant, which a site's profile may put into one job: `coop_fewshot` with 1 and 4 shots."""
    plan = plan_of([REPOSITORY / "config" / "miniature.yaml"])
    return plan, [job for job in of_stage(plan, "train") if job.about.variant == "coop_fewshot"]


@pytest.mark.parametrize(
    ("one", "other", "failed", "undone"),
    [
        ("error: out of luck\n", FULL, [0], 1),  # went fine, then was undone
        ("error: out of luck\n", "", [0], 1),  # never reached
        (FULL, CUT, [1], 1),  # killed by Slurm
        (CUT, "error: out of luck\n", [1, 0], 0),
        (FULL, "", [0], 1),  # killed at its very end
        ("command: x\n", "", [0], 1),  # killed at its start
    ],
)
def test_a_group_whose_outputs_are_all_deleted(curves, tmp_path, capsys, one, other, failed, undone):
    plan, jobs = curves
    assert len(jobs) == 2
    site = tmp_path / "site"
    write(site / "profile.yaml", "groups: {train: 'runs_{dataset}_{subset}_{variant}'}")
    started(tmp_path, f"snakemake --profile {site}")
    for job, text in zip(jobs, (one, other), strict=True):
        fail(tmp_path, job, text)
    show(plan, tmp_path, [])
    lines = capsys.readouterr().out.splitlines()
    found = [line for line in lines if line.startswith("failed: ")]
    assert [line.startswith(f"failed: {name(jobs[place])}: ") for line, place in zip(found, failed, strict=True)]
    again = [line for line in lines if line.startswith("  again:  ")]
    assert again == [f"  again:  snakemake --profile {site} -- {first(jobs[place])}" for place in failed]
    summary = [line for line in lines if line.startswith("undone because")]
    expected = f"undone because another job of their group failed: {undone} jobs; they run again together with the failed ones."
    assert summary == [expected] * bool(undone)


def test_a_closed_pipe_is_not_an_error():
    """As `status | head -1`: the pipe is closed before the table comes."""
    command = [sys.executable, "-m", "cocoop", "status"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == ("", CUT_OFF)


def test_other_groups_are_not_excused(curves, tmp_path):
    plan, jobs = curves
    other = next(job for job in of_stage(plan, "train") if job.about.variant == "coop")
    fail(tmp_path, jobs[0], "error: out of luck\n")
    fail(tmp_path, other, FULL)
    seen, undone = sort_out(look([*jobs, other], tmp_path), {"train": "runs_{dataset}_{subset}_{variant}"})
    assert ([one.state for one in seen], undone) == ([State.FAILED, State.LEFT, State.FAILED], 0)


def test_how_it_was_started(tmp_path):
    assert head.profile(tmp_path) is None
    started(tmp_path, "snakemake --profile slurm --jobs 3", "2026-01-01T000000")
    assert head.profile(tmp_path) == "slurm"
    started(tmp_path, "snakemake --cores all -- results/one/file", "2026-01-02T000000")  # as `again:` says
    assert head.profile(tmp_path) == "slurm"
    started(tmp_path, "snakemake --cores 2", "2026-01-03T000000")
    assert head.profile(tmp_path) is None
    started(tmp_path, "snakemake --profile=mine", "2026-01-04T000000")
    assert head.profile(tmp_path) == "mine"
    assert head.settings("mine") == {} == head.settings(None)


def test_a_job_is_done_though_its_group_still_runs(plan, tmp_path):
    job = of_stage(plan, "features")[0]
    finish(tmp_path, job, 5.0)
    write(tmp_path / ".snakemake/locks/0.input.lock")
    mark(tmp_path, first(job), time.time() - 3600)
    assert state(tmp_path, job) is State.DONE
    mark(tmp_path, first(job), time.time() + 3600)  # begun again: these are the outputs of an earlier run
    assert state(tmp_path, job) is State.QUEUED


def test_done(plan, tmp_path, capsys):
    for job in jobs_of(plan):
        finish(tmp_path, job)
    show(plan, tmp_path, [])
    assert capsys.readouterr().out.endswith("\neverything is done.\n")


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["status", "--configfile", str(DEMO)]) == 0
    assert "jobs have an unknown time" in capsys.readouterr().out
