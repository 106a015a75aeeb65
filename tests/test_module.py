"""The workflow as a `module` of another one: from a git repository, from a folder, and as snakedeploy writes it."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cocoop import io
from cocoop.planning.files import load
from cocoop.planning.jobs import jobs_of
from cocoop.planning.plan import Plan
from tests.test_workflow import planned

SMALL = '{"seeds": [1], "experiments": [{"base_to_new": {"train_datasets": ["digits"], "variants": ["clip", "coop"]}}]}'
OUTER = """
module cocoop:
    snakefile: {snakefile}
    config: {config}
    {more}

use rule * from cocoop as cocoop_*

rule mine:
    default_target: True
    input: rules.cocoop_all.input
"""
AS_SNAKEDEPLOY = """
configfile: "config/config.yaml"

module cocoop:
    snakefile: {snakefile}
    config: config

use rule * from cocoop
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A git repository with the workflow and without a single file beside it (Snakemake's `gitfile` accepts no bare one)."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copytree(io.REPOSITORY / "workflow", folder / "workflow")
    shutil.copy(io.REPOSITORY / "environment.yml", folder)
    me = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    for arguments in (
        ["init", "--quiet", "--initial-branch", "main"],
        ["add", "."],
        [*me, "commit", "--quiet", "-m", "all"],
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    shutil.rmtree(folder / "workflow")
    return folder


def run(folder: Path, text: str, *arguments: str, code: int = 0, package: Path = io.REPOSITORY, said: str = ""):
    """Snakemake with this Snakefile, where the package can be imported from a folder, as if it was installed.

    said: what Snakemake itself tells with a traceback.
    """
    (folder / "Snakefile").write_text(text)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(package), "PATH": os.defpath}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert ("Traceback" in done.stdout + done.stderr) == bool(said) and said in done.stdout, done.stderr[-4000:]
    assert done.returncode == code, done.stdout[-4000:] + done.stderr[-4000:]
    return done


def sources(repository: Path) -> dict[str, str]:
    return {
        "git": f'gitfile("{repository}", path="workflow/Snakefile", ref="main")',
        "folder": f'"{io.REPOSITORY}/workflow/Snakefile"',
    }


@pytest.mark.slow
@pytest.mark.parametrize("source", ["git", "folder"])
def test_a_module_plans_what_the_workflow_plans(source, repository, tmp_path):
    snakefile = sources(repository)[source]
    counts = planned(run(tmp_path, OUTER.format(snakefile=snakefile, config=SMALL, more=""), "-n").stdout)
    jobs = Counter(f"cocoop_{job.stage.name}" for job in jobs_of(Plan({**load(), **json.loads(SMALL)})))
    assert counts == jobs | {"mine": 1, "total": sum(jobs.values()) + 1}


@pytest.mark.slow
def test_a_module_of_a_git_repository_runs(repository, tmp_path):
    text = OUTER.format(snakefile=sources(repository)["git"], config=SMALL, more="")
    run(tmp_path, text, "--until", "cocoop_fewshot")
    assert list((tmp_path / "results/datasets/digits").rglob("shots16_seed1.json"))


@pytest.mark.slow
def test_files_of_the_callers_own_may_look_like_results(repository, tmp_path):
    own = """
rule own:
    output:
        directory("results/experiments/mine/tables"),
    shell:
        "mkdir -p {output}"
"""
    text = OUTER.format(snakefile=sources(repository)["folder"], config=SMALL, more="") + own
    done = run(tmp_path, text, "-n", "results/experiments/mine/tables", said="rule cocoop_tables")
    assert planned(done.stdout)["own"] == 1


@pytest.mark.slow
def test_the_layout_of_snakedeploy_plans(repository, tmp_path):
    """workflow/Snakefile and a copy of config/, of which the user changes some."""
    config = tmp_path / "config" / "config.yaml"
    config.parent.mkdir()
    config.write_text(SMALL)
    counts = planned(run(tmp_path, AS_SNAKEDEPLOY.format(snakefile=sources(repository)["git"]), "-n").stdout)
    assert (counts["train"], counts["evaluate"]) == (1, 2)


@pytest.mark.slow
def test_what_a_module_cannot_do_is_one_line(repository, tmp_path):
    snakefile = sources(repository)["git"]
    wrong = run(tmp_path, OUTER.format(snakefile=snakefile, config='{"seed": [1]}', more=""), "-n", code=2).stderr
    assert "unknown key 'seed'" in wrong
    prefix = run(tmp_path, OUTER.format(snakefile=snakefile, config=SMALL, more='prefix: "there"'), "-n", code=2).stderr
    assert "error: prefix and replace_prefix of a module are not supported" in prefix
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "cocoop.py").write_text("raise ModuleNotFoundError('as if not installed', name='cocoop')")
    missing = run(
        tmp_path, OUTER.format(snakefile=snakefile, config=SMALL, more=""), "-n", code=2, package=tmp_path / "stub"
    )
    assert "where cocoop is not installed; activate the environment" in missing.stderr
