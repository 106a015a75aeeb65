"""A benchmark that may be dead: what `python -m cocoop status` says of silent jobs and of a lock that stayed behind."""

import re
import time

import pytest

from cocoop.planning.files import plan_of
from cocoop.planning.status.report import show
from cocoop.planning.status.silence import clock, duration
from tests.planning.status.test_status import CUT, DEMO, first, mark, of_stage, started, write


@pytest.fixture(scope="module")
def plan():
    return plan_of([DEMO])


def running(folder, job, text, age):
    """Snakemake's lock, the mark of a job that began an hour before, and its log, last written `age` seconds ago."""
    now = time.time()
    write(folder / ".snakemake/locks/0.input.lock")
    mark(folder, first(job), now - age - 3600)
    write(folder / job.log, text, now - age)


def test_a_dead_head_process_is_suspected(plan, tmp_path, capsys):
    job = of_stage(plan, "train")[0]
    running(tmp_path, job, CUT, age=60)
    show(plan, tmp_path, [])
    out = capsys.readouterr().out
    assert "silent" not in out and "stopped?" not in out
    running(tmp_path, job, CUT, age=1200)
    show(plan, tmp_path, [])
    out = capsys.readouterr().out
    assert f"({job.log}), silent since {clock(time.time() - 1200)}\n" in out
    assert f"the last activity was 20 min ago ({clock(time.time() - 1200)}).\nstopped? Snakemake's lock exists" in out
    started(
        tmp_path, "snakemake --cores 2"
    )  # Snakemake has just started or submitted something: only the job is silent
    show(plan, tmp_path, [])
    out = capsys.readouterr().out
    assert "silent since" in out and "stopped?" not in out


def test_queued_jobs_of_a_dead_head_process(plan, tmp_path, capsys):
    job = of_stage(plan, "train")[0]
    started(tmp_path, "snakemake --profile slurm", age=7200)
    write(tmp_path / ".snakemake/locks/0.input.lock")
    mark(tmp_path, first(job), 0)
    show(plan, tmp_path, [])
    assert "stopped?" in capsys.readouterr().out
    (tmp_path / ".snakemake/locks/0.input.lock").unlink()
    show(plan, tmp_path, [])
    assert "stopped?" not in capsys.readouterr().out


def test_clock_has_the_date_if_it_is_another_day():
    assert re.fullmatch(r"\d\d:\d\d", clock(time.time() - 3600))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", clock(time.time() - 90_000))


def test_duration():
    assert [duration(seconds) for seconds in (40.4, 300, 12000)] == ["40 s", "5 min", "3 h 20 min"]
