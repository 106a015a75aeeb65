"""The installed package in an empty folder: the wheel's content, the command `cocoop`, a dry run and real stages."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from cocoop import __version__, io, places
from cocoop.cli import main
from cocoop.planning.files import plan_of
from cocoop.planning.jobs import jobs_of
from tests.test_workflow import planned

SHIPPED = ("config", "workflow", "slurm")
CONFIG = {"seeds": [1], "experiments": [{"base_to_new": {"train_datasets": ["mine"], "variants": ["clip", "mine"]}}]}
MODULE = "from cocoop.methods.zero_shot import ZeroShot\n\n\nclass Mine(ZeroShot):\n    pass\n"
METHOD = """
class: my_method:Mine
version: 1
reference: mine
learns: nothing
prompts_from: template
params: {}
variants: {mine: {label: My own}}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
        ".",
    ]
    subprocess.run(build, cwd=io.REPOSITORY, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """`cocoop` of the wheel, run in an empty folder that has nothing of this repository: `installed(*arguments)`."""
    site, folder = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel]
    subprocess.run(install, check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site), "PATH": os.defpath, "COCOOP_DEVICE": "cpu"}

    def cocoop(*arguments: str, code: int = 0) -> subprocess.CompletedProcess:
        command = [site / "bin" / "cocoop", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stdout[-4000:] + done.stderr[-4000:]
        return done

    cocoop.folder, cocoop.site = folder, site
    return cocoop


@pytest.mark.slow
def test_the_wheel_has_every_file_that_a_run_needs(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    ignored = ("__pycache__",)
    for folder, where in [*((name, "cocoop/shipped/") for name in SHIPPED), ("cocoop", "")]:
        files = (path for path in (io.REPOSITORY / folder).rglob("*") if path.is_file())
        expected = {where + str(path.relative_to(io.REPOSITORY)) for path in files if path.parent.name not in ignored}
        assert expected <= names
    assert not [name for name in names if not name.startswith(("cocoop/", f"cocoop-{__version__}.dist-info/"))]


@pytest.mark.slow
def test_an_installed_package_plans_in_an_empty_folder(installed):
    assert installed("--version").stdout == f"cocoop {__version__}\n"
    assert list(installed.folder.iterdir()) == []
    counts = planned(installed("run", "-n", "--configfile", "config/paper.yaml").stdout)
    assert counts["train"] == sum(job.stage.name == "train" for job in jobs_of(plan_of([Path("config/paper.yaml")])))
    assert "694" in installed("plan", "--configfile", "config/paper.yaml").stdout
    refused = installed("run", "--configfile", "config/papers.yaml", code=2).stderr
    assert refused.startswith("error: --configfile: config/papers.yaml: no such file, here or among the shipped ones: ")
    assert "config/paper.yaml" in refused and refused.count("\n") == 1


@pytest.mark.slow
def test_an_installed_package_runs_own_files_to_a_table(installed):
    """A dataset, a method and a module of the user's; a second run has nothing left to do."""
    folder, site = installed.folder, installed.site
    installed("init", "config/config.yaml", "config/datasets/digits.yaml")
    (folder / "config/datasets/digits.yaml").rename(folder / "config/datasets/mine.yaml")
    (folder / "config/methods").mkdir()
    (folder / "config/methods/mine.yaml").write_text(METHOD)
    (folder / "my_method.py").write_text(MODULE)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(CONFIG))
    wanted = ("--", "results/experiments/base_to_new/tables")
    installed("run", "--quiet", *wanted)
    assert "Nothing to be done" in installed("run", *wanted).stderr
    assert "My own" in installed("show").stdout
    assert not [path for path in (site / "cocoop" / "shipped").rglob("*") if path.name in ("results", "data")]


def test_init_copies_shipped_files_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert Path("config/config.yaml").read_bytes() == (places.SHIPPED / "config/config.yaml").read_bytes()
    assert main(["init", "slurm", "config/experiments"]) == 0
    assert Path("slurm/profile.yaml").exists() and Path("config/experiments/base_to_new.yaml").exists()
    capsys.readouterr()
    for arguments, expected in (
        ([], "config/config.yaml: already exists"),
        (["config/nothing.yaml"], "init: config/nothing.yaml: no such shipped file; known: config/README.md, "),
        (["workflow/Snakefile"], "init: workflow/Snakefile: expected a file or folder in config/, slurm/."),
        (["config/../workflow"], "init: config/../workflow: expected a file or folder"),
    ):
        assert main(["init", *arguments]) == 2
        assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["--cores", "all"]),
        (["-n", "--help"], ["--cores", "all", "-n", "--help"]),
        (["-c4"], ["-c4"]),
        (["--cores=2", "--", "results/report.html"], ["--cores=2", "--", "results/report.html"]),
        (["--configfile", "mine.yaml", "config/paper.yaml", "-c"], ["--configfile", "mine.yaml", "{}/config/paper.yaml", "-c"]),
        (["--configfile=config/paper.yaml"], ["--cores", "all", "--configfile={}/config/paper.yaml"]),
        (["--profile", "slurm"], ["--profile", "{}/slurm"]),
        (["--profile", "other"], ["--profile", "other"]),
    ],
)  # fmt: skip
def test_run_passes_its_arguments_to_snakemake(arguments, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    Path("mine.yaml").touch()
    called: list = []
    monkeypatch.setattr(os, "execve", lambda *words: called.extend(words))
    assert main(["run", *arguments]) == 0
    program, (*python, snakefile, again), environment = called[0], called[1][:6], called[2]
    assert [program, *python] == [sys.executable, sys.executable, "-m", "snakemake", "--snakefile"]
    assert (snakefile, again) == (str(places.SHIPPED / "workflow/Snakefile"), "--rerun-incomplete")
    assert environment["PATH"].startswith(f"{Path(sys.executable).parent}{os.pathsep}")
    words = [
        os.path.realpath(word) if word.endswith("config/paper.yaml") and "=" not in word else word
        for word in called[1][6:]
    ]
    shipped = [word.format(os.path.relpath(places.SHIPPED) if "=" in word else places.SHIPPED) for word in expected]
    assert words == shipped


def test_a_forgotten_environment_is_one_line(tmp_path):
    """A Python without the packages that this one has."""
    bare = [sys.executable, "-S", "-m", "cocoop", "show"]
    done = subprocess.run(bare, cwd=io.REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {sys.executable} has no package ") and done.stderr.count("\n") == 1
    assert "activate the environment" in done.stderr


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((io.REPOSITORY / "CITATION.cff").read_text())
    assert str(citation["version"]) == __version__


@pytest.mark.slow
def test_a_snakemake_of_an_environment_that_is_not_active(tmp_path):
    """Its jobs run in the same environment."""
    (tmp_path / "mine.yaml").write_text("{experiments: [{base_to_new: {train_datasets: [digits], variants: [coop]}}]}")
    program = [
        Path(sys.executable).parent / "snakemake",
        "--snakefile",
        io.REPOSITORY / "workflow/Snakefile",
        "--cores",
        "1",
    ]
    environment = {**os.environ, "PATH": os.defpath}
    command = [*program, "--until", "manifest", "--configfile", "mine.yaml"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert list((tmp_path / "results").rglob("manifest.json"))
