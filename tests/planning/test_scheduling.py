"""Snakemake's scheduler looks for jobs to start when a job has ended, and otherwise rests."""

import os
import subprocess
import sys
from pathlib import Path

from cocoop.io import REPOSITORY

QUICK = 12
SNAKEFILE = f"""
from cocoop.planning import scheduling

onstart:
    scheduling.rest(workflow)

rule all:
    input: expand("quick/{{i}}", i=range({QUICK})), expand("slow/{{i}}", i=range(2))

rule quick:
    output: "quick/{{i}}"
    priority: 1
    shell: "touch {{output}}"

rule slow:
    output: "slow/{{i}}"
    shell: "sleep 2.5; touch {{output}}"
"""
SLOW = """#!/bin/sh
sleep 1.5
for out; do :; done
touch "$out"
"""


def looks(folder, *options):
    """How often the scheduler examines the jobs that could start; a slow job waits while the other one runs."""
    (folder / "Snakefile").write_text(SNAKEFILE)
    return examined(folder, *options)


def examined(folder, *options, path=""):
    """The examinations of a Snakemake that starts one job at a time."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--scheduler", "greedy", "--verbose", *options]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PATH": path + os.environ["PATH"]}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr.count("Ready jobs")


def test_the_scheduler_rests_while_a_job_runs(tmp_path):
    assert looks(tmp_path) <= QUICK + 3


def test_a_limit_of_the_users_stays(tmp_path):
    assert looks(tmp_path, "--max-jobs-per-timespan", "99/1s") >= QUICK + 3 + QUICK


def test_the_scheduler_of_the_benchmark_rests(tmp_path):
    """With a `python` that takes its time: downloads wait while another one runs."""
    (tmp_path / "python").write_text(SLOW)
    (tmp_path / "python").chmod(0o755)
    here = f"{tmp_path}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}"
    workflow = ("--snakefile", str(REPOSITORY / "workflow/Snakefile"))
    found = examined(tmp_path, *workflow, "--until", "download", path=here)
    downloads = len(list((tmp_path / "data/.sources").glob("*.json")))
    assert downloads == 5
    assert found <= downloads + 3
