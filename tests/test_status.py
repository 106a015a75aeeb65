"""What `python -m cocoop status` reads from files: states, reasons, commands, time left."""

import base64
import json
import os

import pytest

from cocoop.cli import main
from cocoop.config.files import plan_of
from cocoop.config.jobs import jobs_of
from cocoop.costing.sizes import backbone_size, dataset_sizes
from cocoop.costing.work import Estimator
from cocoop.io import REPOSITORY
from cocoop.monitor.report import duration, name, show
from cocoop.monitor.states import KILLED, State, failure, look
from cocoop.monitor.time_left import rest

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
    for output in job.outputs:
        write(folder / output)
    write(folder / job.log)
    if seconds is not None:
        write(folder / job.benchmark, json.dumps({"s": seconds}) + "\n")


def mark(folder, output, time):
    """What Snakemake leaves while a job is on its way; a long name is cut into folders."""
    code = base64.urlsafe_b64encode(output.encode()).decode()
    pieces = [code[at : at + 254] for at in range(0, len(code), 254)]
    write(folder.joinpath(".snakemake/incomplete", *("@" + piece for piece in pieces[:-1]), pieces[-1]), "{}", time)


def state(folder, job):
    return look([job], folder)[0].state


def of_stage(plan, stage):
    return [job for job in jobs_of(plan) if job.stage == stage]


def test_states_of_one_training(plan, tmp_path):
    job = of_stage(plan, "train")[0]
    assert state(tmp_path, job) is State.LEFT
    for path in job.inputs:
        write(tmp_path / path)
    write(tmp_path / ".snakemake/locks/0.input.lock")
    write(tmp_path / job.log, "", time=100)
    mark(tmp_path, job.outputs[0], time=200)
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
    job = next(job for job in of_stage(plan, "evaluate") if job.what.block.variant == "coop")
    write(tmp_path / job.log)  # Snakemake makes empty logs for the rest of a failed group
    assert state(tmp_path, job) is State.LEFT


def test_long_marks_are_put_together(plan, tmp_path):
    job = of_stage(plan, "evaluate")[0]
    write(tmp_path / ".snakemake/locks/0.input.lock")
    long = "x" * 300 + ".json"
    mark(tmp_path, long, 5)
    mark(tmp_path, job.outputs[0], 5)
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
    assert failure(tmp_path / "log") == reason


def test_failed_run_is_named_with_log_and_commands(plan, tmp_path, capsys):
    job = next(
        job for job in of_stage(plan, "train") if name(job) == "train coop on digits/base, 16 shots, seeds 1-2-3"
    )
    for path in job.inputs:
        write(tmp_path / path)
    write(tmp_path / job.log, "error: out of luck\n")
    show(plan, tmp_path, [DEMO])
    out = capsys.readouterr().out
    assert "failed: train coop on digits/base, 16 shots, seeds 1-2-3: out of luck\n" in out
    assert f"  log:    {job.log}\n" in out
    assert f"  again:  snakemake --cores all --rerun-incomplete --configfile {DEMO} -- {job.outputs[0]}\n" in out
    assert "  alone:  python -m cocoop train --settings '{" in out
    line = next(line for line in out.splitlines() if line.startswith("train "))
    assert line.split() == ["train", "1", "14"]


def test_time_left_grows_with_the_work(plan, tmp_path):
    """Two done jobs of a stage give start and pace; a stage without any is counted as unknown."""
    features = of_stage(plan, "features")
    estimator = Estimator(plan, dataset_sizes(plan, tmp_path), backbone_size(plan.backbone))
    images = {job: estimator.work(job).images for job in features}
    by_size = sorted(features, key=images.get)
    for job in (by_size[0], by_size[-1]):
        finish(tmp_path, job, 5 + images[job] / 100)
    found = rest(look(features, tmp_path), estimator)
    assert found.seconds == pytest.approx(sum(5 + images[job] / 100 for job in by_size[1:-1]))
    assert found.unknown == 0
    everything = rest(look(jobs_of(plan), tmp_path), estimator)
    assert everything.seconds == pytest.approx(found.seconds)
    assert everything.unknown == sum(len(of_stage(plan, stage)) for stage in ("views", "train", "evaluate"))


def test_done(plan, tmp_path, capsys):
    for job in jobs_of(plan):
        finish(tmp_path, job)
    show(plan, tmp_path, [])
    assert capsys.readouterr().out.endswith("\neverything is done.\n")


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["status", "--configfile", str(DEMO)]) == 0
    assert "their time is unknown" in capsys.readouterr().out


def test_duration():
    assert [duration(seconds) for seconds in (40.4, 300, 12000)] == ["40 s", "5 min", "3 h 20 min"]
