"""The list of jobs in cocoop.planning.jobs against what Snakemake itself makes of workflow/rules."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cocoop import io
from cocoop.io import REPOSITORY
from cocoop.planning import Block, Evaluation
from cocoop.planning.cost.groups import PROFILE, submissions, wildcards
from cocoop.planning.environment import BUDGET, DEVICE
from cocoop.planning.files import load, plan_of
from cocoop.planning.jobs import GPU_STAGES, Job, Views, jobs_of
from cocoop.planning.status import by_hand, logs

MINIATURE = REPOSITORY / "config" / "miniature.yaml"
PAPER = REPOSITORY / "config" / "paper.yaml"


def snakemake(folder: Path, *arguments: str, config: Path = MINIATURE, **variables: str) -> str:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "workflow/Snakefile"),
               "--directory", str(folder), "--configfile", str(config), *arguments]  # fmt: skip
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, env=os.environ | variables)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    return jobs_of(plan_of([MINIATURE]))


@pytest.fixture(scope="module")
def commands(tmp_path_factory) -> list[str]:
    """Every shell command of a dry run from nothing."""
    text = snakemake(tmp_path_factory.mktemp("dry"), "-n", "--printshellcmds", "--cores", "1")
    return [line.removeprefix("Shell command: ") for line in text.splitlines() if line.startswith("Shell command: python")
            or line.startswith("Shell command: printf")]  # fmt: skip


def test_outputs_are_those_of_the_rules(jobs, tmp_path):
    lines = snakemake(tmp_path, "--detailed-summary", "--cores", "1").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("output_file\t"))
    theirs = {(cells[2], cells[0]) for cells in (line.split("\t") for line in lines[start + 1 :]) if len(cells) > 5}
    assert {(job.stage, output) for job in jobs for output in job.outputs} == theirs


def test_logs_are_those_of_the_rules(jobs, commands):
    assert sorted(job.log for job in jobs) == sorted(shlex.split(line)[-2] for line in commands)


def test_commands_by_hand_are_those_of_the_rules(jobs, commands):
    plan = plan_of([MINIATURE])
    ours = [by_hand.stage(plan, job) for job in jobs if job.needs_gpu]
    theirs = [re.sub(r"\$\(\(.*? - 1\)\)", "0", line.partition(" > ")[0]) for line in commands]
    theirs = [
        f"COCOOP_DEVICE=auto COCOOP_TEXT_BUDGET_MB=2048 {line}" for line in theirs if line.split()[3] in GPU_STAGES
    ]
    assert sorted(map(shlex.split, ours)) == sorted(map(shlex.split, theirs))


def test_command_by_hand_is_that_of_a_real_job(tmp_path):
    """With its environment, which a `python` in front of the real one prints into the log."""
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    shown = " ".join(f"{name}=${name}" for name in (DEVICE, BUDGET))
    python.write_text(f'#!/bin/sh\necho "{shown}"\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    config = tmp_path / "other.yaml"
    config.write_text(json.dumps(load([MINIATURE]) | {"device": "cpu", "text_budget_mb": 300}))
    plan = plan_of([config])
    job = next(job for job in jobs_of(plan) if (job.stage, job.what) == ("features", "digits"))
    options = ["--cores", "2", "--set-threads", "features=2", "--", *job.outputs]
    snakemake(tmp_path, *options, config=config, PATH=f"{python.parent}:{os.environ['PATH']}")
    log = tmp_path / job.log
    variables, command = log.read_text().splitlines()[:2]
    assert f"{variables} {command.removeprefix('command: ')}" == by_hand.stage(plan, job, logs.workers(log))
    assert "--workers 1 " in command


def test_benchmarks_are_those_of_the_rules(jobs):
    rules = "".join((REPOSITORY / f"workflow/rules/{name}.smk").read_text() for name in ("features", "runs"))
    patterns = {
        stage: re.search(rf"rule {stage}:.*?benchmark:\s*\"(.*?)\"", rules, re.DOTALL)[1] for stage in GPU_STAGES
    }
    plan = plan_of([MINIATURE])
    for job in jobs:
        if not job.needs_gpu:
            assert job.benchmark is None
            continue
        values = dict(wildcards(plan, job))
        block = job.what.block if isinstance(job.what, Evaluation) else job.what
        values["seeds"] = "-".join(map(str, getattr(block, "seeds", ())))
        values["views"] = getattr(job.what, "name", "")
        if isinstance(job.what, Evaluation):
            values |= {"target": job.what.target, "subsets": job.what.subsets_text}
        assert job.benchmark == patterns[job.stage].format(**values)


def test_every_input_is_made_by_another_job(jobs):
    made = {output: job.stage for job in jobs for output in job.outputs}
    assert {path for job in jobs for path in job.inputs} <= set(made)
    training = next(job for job in jobs if isinstance(job.what, Block))
    assert {made[path] for path in training.inputs} == {"text_tower", "views"}


def test_paper_submissions_are_those_snakemake_forms(tmp_path):
    plan = plan_of([PAPER])
    text = snakemake(tmp_path, "--profile", "slurm", "-n", config=PAPER)
    jobs = jobs_of(plan)
    formed = text.count("] Group job ") + len(re.findall(r"^Job \d+: test features of", text, re.MULTILINE))
    assert submissions(plan, jobs) == formed < sum(job.needs_gpu for job in jobs) / 2


def test_no_slurm_job_of_the_paper_holds_two_runs():
    """A group fails as a whole: it may hold one training with its tests, or the views of one draw, and nothing beside them."""
    plan = plan_of([PAPER])
    names = io.read_yaml(PROFILE)["groups"]
    held: dict[str, set] = {}
    for job in jobs_of(plan):
        if job.stage in names:
            block = job.what.block if isinstance(job.what, Evaluation) else job.what
            group = names[job.stage].format(**wildcards(plan, job))
            held.setdefault(group, set()).add(replace(block, name="") if isinstance(block, Views) else block)
    assert {len(blocks) for blocks in held.values()} == {1}


def test_demo_does_not_leak_into_the_paper():
    assert not {"digits", "shapes"} & set(plan_of([PAPER]).datasets)
