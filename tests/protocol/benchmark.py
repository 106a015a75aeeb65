"""A small benchmark through the command line of each job, in this process and without Snakemake."""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from cocoop import io
from cocoop.cli import main
from cocoop.planning import stages
from cocoop.planning.files import plan_of
from cocoop.planning.job import Job
from cocoop.planning.jobs import jobs_of
from cocoop.planning.plan import Plan
from cocoop.reporting.records import records

EXPERIMENT = {"train_datasets": ["digits"], "variants": ["clip", "coop"], "shots": [2], "train_subset": "base"}
SMALL = {
    "seeds": [1, 2],
    "seeds_per_job": 2,
    "device": "cpu",
    "variants": {"coop": {"training": {"epochs": 2}}},
}


def configured(folder: Path, changed: dict[str, Any] | None = None, **experiment: Any) -> Path:
    """A configuration file: `SMALL` with one experiment, `EXPERIMENT` with these keys. changed: further variants."""
    content = SMALL | {"experiments": {"base_to_new": EXPERIMENT | experiment}}
    content["variants"] = SMALL["variants"] | (changed or {})
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def run(*words: object) -> None:
    assert main([*map(str, words)]) == 0


def plan(config: Path) -> Plan:
    return plan_of([config])


def made(config: Path) -> list[Job]:
    """Runs every job that is not done yet, up to the tables; all jobs. The working folder is that of the results."""
    jobs = jobs_of(plan(config))
    for job in sorted(jobs, key=_turn):
        done = all(Path(path).exists() for path in job.outputs.values())
        if not done and stages.ORDER.index(job.stage) <= stages.ORDER.index(stages.CONTENT):
            run(*job.command)
    (tables,) = (job for job in jobs if job.stage is stages.TABLES)
    (collect,) = (job for job in jobs if job.stage is stages.COLLECT)
    for name, files in (("metrics", collect.inputs["metrics"]), ("costs", tables.inputs["costs"])):
        Path(f"{name}.txt").write_text("\n".join(files))
    run(
        "collect", "--metrics", "metrics.txt", "--fewshot", *collect.inputs["fewshot"], "--out", collect.outputs["records"]
    )  # fmt: skip
    experiment = ["--experiment", tables.inputs["experiment"], "--records", collect.outputs["records"]]
    run("tables", *experiment, "--costs", "costs.txt", "--out", tables.outputs["tables"])
    return jobs


def _turn(job: Job) -> tuple[int, bool]:
    """Stages in their order, and temperatures after the trainings that they are fitted to."""
    return stages.ORDER.index(job.stage), job.stage is stages.TRAIN and job.about.temperature != "none"


def recorded() -> pd.DataFrame:
    return records.load(Path("results/experiments/base_to_new/records.csv"))


def words() -> str:
    """The table with its caption and footnotes, without line breaks."""
    return " ".join(table().split())


def table() -> str:
    return Path("results/experiments/base_to_new/tables/table.txt").read_text()


def learned(jobs: list[Job], variant: str) -> list[dict[str, Any]]:
    """The learned tensors of each of a variant's trainings, by name."""
    found = [job for job in jobs if job.stage is stages.TRAIN and job.about.variant == variant]
    return [io.read_tensors(job.outputs["learned"], "learned")[0] for job in found]


def draw_of(jobs: list[Job], seed: int) -> dict[str, Any]:
    """The few-shot selection of a seed."""
    (job,) = (job for job in jobs if job.stage is stages.FEWSHOT and job.wildcards["seed"] == str(seed))
    return io.read_json(job.outputs["fewshot"], "fewshot")
