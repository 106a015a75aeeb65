"""Measures what ten seeds cost compared with three: `python benchmarks/seeds.py [--variants coop cocoop] [--dataset digits]`.

Plans the demo's base-to-new experiment twice, with three seeds and with ten, each in one job, runs all stages up to the trainings
in a temporary folder, and then the trainings of both, in turns. Prints CPU seconds and seconds of the whole job (with the start of
Python and torch) and of the training alone (cost.json), and their ratios: medians over the repetitions.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import yaml
from tabulate import tabulate

from cocoop import io
from cocoop.planning import stages
from cocoop.planning.files import plan_of
from cocoop.planning.job import Job
from cocoop.planning.jobs import jobs_of
from cocoop.run import Run

FEW, MANY = 3, 10
BEFORE = (stages.DOWNLOAD, stages.MANIFEST, stages.TEXT_TOWER, stages.FEWSHOT, stages.VIEWS)


def jobs(seeds: int, variants: Sequence[str], dataset: str) -> list[Job]:
    content = {
        "seeds": list(range(1, seeds + 1)), "seeds_per_job": seeds,
        "experiments": {"base_to_new": {"variants": list(variants), "train_datasets": [dataset]}},
    }  # fmt: skip
    path = Path(f"seeds{seeds}.yaml")
    path.write_text(yaml.safe_dump(content))
    return jobs_of(plan_of([path]))


def run(job: Job) -> tuple[float, float]:
    """CPU seconds and seconds of a job."""
    environment = {**os.environ, "PYTHONPATH": str(io.REPOSITORY)}
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "cocoop", *job.command], env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{job.log}: failed")
    return used.ru_utime + used.ru_stime, time.perf_counter() - start


def training(job: Job) -> tuple[float, float, float]:
    """CPU seconds and seconds of a training job, and seconds of the training alone."""
    for path in Path(job.outputs["learned"]).parent.glob("*"):
        path.unlink()
    return *run(job), io.read_json(Path(job.outputs["cost"]), "cost")["seconds"]


def main(variants: Sequence[str], dataset: str, repeats: int) -> None:
    planned = {seeds: jobs(seeds, variants, dataset) for seeds in (FEW, MANY)}
    for stage in BEFORE:
        for job in {job for of_plan in planned.values() for job in of_plan if job.stage is stage}:
            run(job)
    rows = []
    for variant in variants:
        trains = {
            seeds: next(
                j
                for j in of_plan
                if j.stage is stages.TRAIN and isinstance(j.about, Run) and j.about.variant == variant
            )
            for seeds, of_plan in planned.items()
        }
        taken: dict[int, list[tuple[float, float, float]]] = {FEW: [], MANY: []}
        for _ in range(repeats):
            for seeds, job in trains.items():
                taken[seeds].append(training(job))
        middle = {
            seeds: [median(column) for column in zip(*of_seeds, strict=True)] for seeds, of_seeds in taken.items()
        }
        for what, few, many in zip(
            ("CPU s of the job", "s of the job", "s of the training"), *middle.values(), strict=True
        ):
            rows.append([variant, what, few, many, many / few])
    print(tabulate(rows, ("variant", "quantity", f"{FEW} seeds", f"{MANY} seeds", "ratio"), "pipe", floatfmt=".2f"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", default=["coop", "cocoop"])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main(options.variants, options.dataset, options.repeats)
