"""The list of jobs in cocoop.planning.jobs against what Snakemake itself makes of workflow/rules."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from cocoop import io
from cocoop.io import REPOSITORY
from cocoop.planning.cost.groups import group_of, profile, submissions
from cocoop.planning.files import load, plan_of
from cocoop.planning.job import Job, Views
from cocoop.planning.jobs import jobs_of
from cocoop.planning.stages import FEATURES, TEXT_TOWER, VIEWS
from cocoop.planning.status.report import alone
from cocoop.run import Evaluation, Run
from tests import forked

MINIATURE = REPOSITORY / "config" / "miniature.yaml"
PAPER = REPOSITORY / "config" / "paper.yaml"


def snakemake(folder: Path, *arguments: str, config: Path = MINIATURE, **variables: str) -> str:
    done = forked.snakemake(
        "--snakefile", str(REPOSITORY / "workflow/Snakefile"), "--directory", str(folder), "--configfile", str(config),
        *arguments, folder=REPOSITORY, **variables,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    return jobs_of(plan_of([MINIATURE]))


def test_outputs_are_those_of_the_rules(jobs, tmp_path):
    lines = snakemake(tmp_path, "--detailed-summary", "--cores", "1").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("output_file\t"))
    theirs = {(cells[2], cells[0]) for cells in (line.split("\t") for line in lines[start + 1 :]) if len(cells) > 5}
    assert {(job.stage.name, output) for job in jobs for output in job.outputs.values()} == theirs


def test_paths_of_different_jobs_differ(jobs):
    paths = [path for job in jobs for path in (*job.outputs.values(), job.log, job.usage) if path]
    assert len(paths) == len(set(paths))


@pytest.mark.slow
def test_first_line_of_a_log_is_the_planned_command(tmp_path):
    """With its environment, so that the line reruns the job by hand."""
    config = tmp_path / "other.yaml"
    config.write_text(json.dumps(load([MINIATURE]) | {"device": "cpu", "text_budget_mb": 300}))
    plan = plan_of([config])
    job = next(job for job in jobs_of(plan) if (job.stage, job.about) == (FEATURES, "digits"))
    snakemake(tmp_path, "--cores", "2", "--set-threads", "features=2", "--", *job.outputs.values(), config=config)
    first = (tmp_path / job.log).read_text().splitlines()[0]
    assert first == f"command: {alone(plan, job)}"
    assert first.startswith(
        "command: COCOOP_DEVICE=cpu COCOOP_TEXT_BUDGET_MB=300 COCOOP_IMAGE_STATES_MB=2048 python -m cocoop features "
    )


def test_every_input_is_the_output_of_a_job(jobs):
    made = {output: job.stage.name for job in jobs for output in job.outputs.values()}
    assert {path for job in jobs for path in job.files} <= set(made)
    training = next(job for job in jobs if isinstance(job.about, Run) and job.about.inputs == "features")
    assert {made[path] for path in training.files} == {TEXT_TOWER.name, VIEWS.name}


@pytest.mark.slow
def test_paper_submissions_are_those_snakemake_forms(tmp_path):
    plan = plan_of([PAPER])
    text = snakemake(tmp_path, "--profile", "slurm", "-n", config=PAPER)
    jobs = jobs_of(plan)
    formed = text.count("] Group job ") + len(re.findall(r"^Job \d+: test features of", text, re.MULTILINE))
    assert submissions(jobs) == formed < sum(job.needs_gpu for job in jobs) / 2


def test_no_slurm_job_of_the_paper_holds_two_runs():
    """A group fails as a whole: it may hold one training with its tests, or the views of one draw, and nothing beside them."""
    plan = plan_of([PAPER])
    names = io.read_yaml(profile())["groups"]
    held: dict[str, set] = {}
    for job in jobs_of(plan):
        if group := group_of(job, names):
            about = job.about.run if isinstance(job.about, Evaluation) else job.about
            held.setdefault(group, set()).add(
                replace(about, kind="", epochs=None, local=False) if isinstance(about, Views) else about
            )
    assert {len(parts) for parts in held.values()} == {1}


def test_demo_does_not_leak_into_the_paper():
    assert not {"digits", "shapes"} & set(plan_of([PAPER]).datasets)
