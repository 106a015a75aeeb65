"""The workflow as Snakemake sees it: plans, lint, profiles, errors; and a small benchmark run for real."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml

from cocoop import io
from cocoop.config import Registry
from cocoop.planning.files import plan_of
from cocoop.planning.jobs import jobs_of
from cocoop.text import text_encoder
from tests import forked

REPOSITORY = io.REPOSITORY
NEEDED = ("bash", "git", "sh", "which")  # of other people's programs, to plan
SLURM = ("sacct", "sacctmgr", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
SMALL = {
    "seeds": [1, 2],
    "seeds_per_job": 2,
    "views": 2,
    "variants": {
        "coop": {"training": {"epochs": 3}},
        "cocoop": {"training": {"epochs": 2, "batch_size": 16}},
    },
    "experiments": {
        "base_to_new": {"train_datasets": ["digits"], "variants": ["clip", "coop", "cocoop"]},
        "parameter_matched": {"train_datasets": ["digits"], "variants": ["coop", "cocoop"]},
    },
}


def snakemake(*arguments: str, folder: Path = REPOSITORY, check: bool = True) -> subprocess.CompletedProcess:
    done = forked.snakemake(*arguments, folder=folder)
    assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done


def planned(output: str) -> dict[str, int]:
    """Job counts of a dry run's table, by rule."""
    counts: dict[str, int] = {}
    lines = output.split("Job stats:")[1].splitlines()[3:]
    for line in lines:
        if not line.strip():
            break
        rule, count = line.split()[:2]
        counts[rule] = int(count)
    return counts


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A copy of the repository's code and configuration, with the small configuration."""
    folder = tmp_path_factory.mktemp("benchmark")
    for name in ("cocoop", "config", "workflow"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "environment.yml", folder)
    write(folder, SMALL)
    return folder


def write(folder: Path, changes: dict) -> None:
    config = {**io.read_yaml(REPOSITORY / "config/config.yaml"), **changes}
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config))


def dry(folder: Path) -> dict[str, int]:
    return planned(snakemake("-n", "--cores", "2", folder=folder).stdout)


def test_lint():
    snakemake("--lint")


def test_demo_plan_counts():
    counts = planned(snakemake("-n", "--cores", "2", "--forceall").stdout + "\n")
    assert counts["train"] == 5 * 3
    assert counts["evaluate"] == 5 * 4


@pytest.mark.slow
def test_profile_plans_without_slurm(tmp_path):
    """`snakemake --profile slurm -n` in a fresh clone, on a machine without a single command of Slurm, prints the paper's plan."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in NEEDED:
        (commands / name).symlink_to(shutil.which(name))
    path = f"{Path(sys.executable).parent}:{commands}"
    assert not any(shutil.which(name, path=path) for name in SLURM)
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), "clone"], cwd=tmp_path, check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "PYTHONPATH"))}
    done = subprocess.run(
        ["snakemake", "--profile", "slurm", "-n"], cwd=tmp_path / "clone", env=environment | {"PATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    jobs = jobs_of(plan_of([REPOSITORY / "config/paper.yaml"]))
    expected = Counter(job.stage.name for job in jobs)
    assert planned(done.stdout) == expected | {"all": 1, "total": sum(expected.values()) + 1}
    assert sum(job.needs_gpu for job in jobs) == 694  # docs/cluster.md


def test_wrong_configuration_is_one_line_and_exit_2(folder):
    done = snakemake("-n", "--cores", "1", "--config", "backbone=tinny", folder=folder, check=False)
    assert done.returncode == 2
    assert "error: config/config.yaml + --config: backbone: unknown backbone 'tinny'" in done.stderr
    assert "Did you mean 'tiny'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("locked", [True, False])
def test_make_says_what_a_lock_means(locked, tmp_path):
    """A Snakemake that was killed leaves its lock; one that failed by itself does not."""
    lock = "mkdir -p .snakemake/locks && touch .snakemake/locks/0.output.lock; " if locked else ""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/snakemake").write_text(f"#!/bin/sh\n{lock}exit 7\n")
    (tmp_path / ".venv/bin/snakemake").chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / ".venv/bin/.installed").touch()
    done = subprocess.run(["make", "demo", "CORES=1"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert ("locked: another Snakemake runs in this folder, or one was killed" in done.stderr) == locked
    assert ("run `make unlock` and try again." in done.stderr) == locked  # and not run by the shell that prints it
    assert "Error 7" in done.stderr


@pytest.mark.slow
def test_small_benchmark_end_to_end(folder):
    """Runs; again does nothing; a seed, a variant's setting and a table's code plan only what depends on them."""
    snakemake("--cores", "2", folder=folder)
    records = (folder / "results/experiments/base_to_new/records.csv").read_text().splitlines()
    assert len(records) == 1 + 2 * (1 + 2 * 2)
    assert (folder / "results/report.html").stat().st_size > 10_000
    assert list((folder / "results/experiments/base_to_new/tables").glob("*.md"))
    assert list((folder / "results/experiments/base_to_new/figures").glob("*.svg"))
    assert (
        "Nothing to be done" in snakemake("--cores", "2", folder=folder).stderr + snakemake("-n", folder=folder).stdout
    )

    metrics = io.read_json(next((folder / "results/runs").rglob("cocoop/**/metrics.json")), "metrics")
    assert metrics["parameters"]["trained"] == 4 * 128 + 128 * 8 + 8 + 8 * 128 + 128
    assert {record["seed"] for record in metrics["records"]} == {1, 2}

    write(folder, SMALL | {"seeds": [1, 2, 3]})
    counts = dry(folder)
    assert (counts["fewshot"], counts["views"], counts["train"], counts["evaluate"]) == (1, 1, 2, 2)

    changed = json.loads(json.dumps(SMALL))
    changed["variants"]["coop"]["training"]["lr"] = 0.004
    write(folder, changed)
    counts = dry(folder)
    assert (counts["train"], counts["evaluate"]) == (1, 1)
    write(folder, SMALL)

    code = folder / "cocoop/reporting/tables/rendering.py"
    code.write_text(code.read_text() + "# another layout\n")
    assert dry(folder) == {"tables": 2, "paired": 2, "page": 1, "all": 1, "total": 6}
    snakemake("--cores", "2", folder=folder)


@pytest.mark.slow
def test_a_copy_of_a_finished_clone_has_nothing_to_do(folder, tmp_path):
    snakemake("--cores", "2", folder=folder)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", folder, copy], check=True)
    assert "Nothing to be done" in snakemake("-n", folder=copy).stdout


@pytest.mark.slow
def test_by_hand_and_through_the_workflow_alike(folder, tmp_path):
    """The first line of a job's log gives the same bytes when run by hand, into a fresh folder."""
    (run,) = (folder / "results/runs").rglob("coop/shots16/seeds1-2/*")
    log = next((folder / "results/logs/train").rglob("coop/**/*.log")).read_text()
    command = shlex.split(log.splitlines()[0].removeprefix("command: "))
    variables, command = command[: command.index("python")], command[command.index("python") :]
    command[command.index("--out") + 1] = str(tmp_path / "again")
    environment = {**os.environ, **dict(word.split("=", 1) for word in variables), "PYTHONPATH": str(folder)}
    subprocess.run([sys.executable, *command[1:]], cwd=folder, check=True, capture_output=True, env=environment)
    for name in ("learned.safetensors", "history.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (run / name).read_bytes(), name


@pytest.mark.slow
def test_report_archive(folder):
    snakemake("--report", "report.zip", folder=folder)
    assert (folder / "report.zip").stat().st_size > 10_000


@pytest.mark.slow
def test_template_ensemble_and_descriptions_beside_each_other(folder):
    """Three rows whose counts are those of the literal computation; a change of the ensemble plans the ensemble's alone."""
    texts = {
        "clip": lambda name: [f"a photo of the {name}."],
        "clip_ensemble": lambda name: [f"a photo of the {name}.", f"a picture of a {name}.", f"the {name}."],
        "clip_descriptions": lambda name: [f"a drawing of the {name}", f"white {name} on black"],
    }
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    names = [f"digit {word}" for word in words]
    (folder / "digits.json").write_text(json.dumps({name: texts["clip_descriptions"](name) for name in names}))
    (folder / "digits.txt").write_text("# ours\n" + "\n".join(texts["clip_ensemble"]("{}")))
    digits = folder / "config/datasets/digits.yaml"
    before = digits.read_text()
    digits.write_text(before + "ensemble: digits.txt\ndescriptions: digits.json\n")
    write(folder, SMALL | {"experiments": {"base_to_new": {"train_datasets": ["digits"], "variants": [*texts]}}})
    snakemake("--cores", "2", folder=folder)
    table = (folder / "results/experiments/base_to_new/tables/table.txt").read_text()
    assert all(label in table for label in ("CLIP (ensemble)", "CLIP (descriptions)"))
    assert "digits: has no `ensemble:`" not in table

    text = text_encoder.whole(Registry().backbone("tiny", "test").settings)
    tensors, _ = io.read_tensors(next((folder / "results/features/tiny/digits").rglob("test.safetensors")), "features")
    images, labels = F.normalize(tensors["features"].double(), dim=-1), tensors["labels"]
    for variant, prompts in texts.items():
        each = [F.normalize(text.features(prompts(name)).double(), dim=-1).mean(0) for name in names[:5]]
        found = (images[labels < 5] @ F.normalize(torch.stack(each), dim=-1).T).argmax(1)
        metrics = io.read_json(next((folder / "results/runs").rglob(f"{variant}/**/metrics.json")), "metrics")
        assert metrics["records"][0]["correct"] == int((found == labels[labels < 5]).sum()), variant

    (folder / "digits.txt").write_text("a photo of the {}.\nmy {}.\n")
    counts = dry(folder)
    assert counts["evaluate"] == 1 and "features" not in counts
    digits.write_text(before)
    write(folder, SMALL)


@pytest.mark.slow
def test_a_folder_of_pictures_becomes_a_dataset(folder, tmp_path):
    """`dataset new`, `dataset check`, and base-to-new with all three methods, from scikit-learn's digits as PNG files."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for i, (image, label) in enumerate(zip(digits.images[:400], digits.target[:400], strict=True)):
        path = tmp_path / "Hand written" / f"digit {label}" / f"{i}.PNG"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype("uint8")).save(path)
    cocoop = [sys.executable, "-m", "cocoop"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    new = [*cocoop, "dataset", "new", str(tmp_path / "Hand written"), "--template", "a photo of the {}."]
    subprocess.run(new, cwd=folder, env=environment, check=True)
    check = [*cocoop, "dataset", "check", "hand_written"]
    said = subprocess.run(check, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout
    assert "classes: 10" in said
    assert "problem" not in said
    assert (folder / "results/datasets/hand_written/contact_sheet.png").exists()
    experiment = {"train_datasets": ["hand_written"], "variants": ["clip", "coop", "cocoop"]}
    write(folder, SMALL | {"seeds": [1], "experiments": {"base_to_new": experiment}})
    snakemake("--cores", "2", folder=folder)
    table = (folder / "results/experiments/base_to_new/tables/table.txt").read_text()
    assert "CoCoOp" in table
    write(folder, SMALL)
