"""The `plan` command: what a configuration costs, experiment by experiment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from cocoop.config import Plan
from cocoop.config.jobs import Job, jobs_of
from cocoop.costing.groups import submissions
from cocoop.costing.sizes import backbone_size, dataset_sizes
from cocoop.costing.throughput import START_SECONDS, Throughput
from cocoop.costing.tokens import TAIL, Counter
from cocoop.costing.work import Estimator, Work
from cocoop.errors import listed

HEAD = ("experiment", "jobs", "GPU jobs", "Slurm jobs", "trainings", "image passes", "text passes", "tokens, literal",
        "tokens, computed", "disk GB", "GPU hours")  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """Sums over jobs. None where a part is unknown; hours: of GPU work."""

    jobs: int
    gpu_jobs: int
    slurm_jobs: int
    trainings: int
    work: Work
    literal: int | None
    fast: int | None
    guessed: bool
    hours: float | None


def show(plan: Plan, folder: Path, bench: Path | None = None, images_per_second: float | None = None) -> None:
    """Prints the table and what would make it more exact. folder: where results and images lie."""
    sizes = dataset_sizes(plan, folder)
    estimator = Estimator(plan, sizes, backbone_size(plan.backbone))
    throughput = Throughput(bench, plan.backbone.precision, images_per_second) if bench else None
    counter, jobs = Counter(estimator), jobs_of(plan)
    parts = {name: [job for job in jobs if name in job.experiments] for name in plan.experiments}
    rows = [_row(name, _cost(plan, part, estimator, counter, throughput)) for name, part in parts.items()]
    rows.append(_row("all, shared jobs once", _cost(plan, jobs, estimator, counter, throughput)))
    print(tabulate(rows, HEAD, "pipe", disable_numparse=True, colalign=["left"] + ["right"] * (len(HEAD) - 1)))
    print(*_notes(plan, estimator, counter, throughput), sep="\n")


def _cost(
    plan: Plan, jobs: Sequence[Job], estimator: Estimator, counter: Counter, throughput: Throughput | None
) -> Cost:
    gpu = [job for job in jobs if job.needs_gpu]
    known = [job for job in gpu if estimator.work(job) is not None]
    tokens = [counter.tokens(job) for job in known]
    seconds = [throughput.seconds(estimator, job) for job in known] if throughput else [None]
    return Cost(
        jobs=len(jobs),
        gpu_jobs=len(gpu),
        slurm_jobs=submissions(plan, jobs),
        trainings=sum(len(job.what.seeds) for job in jobs if job.stage == "train"),
        work=sum(map(estimator.work, known), Work()),
        literal=None if None in tokens else sum(t.literal for t in tokens),
        fast=None if None in tokens else sum(t.fast for t in tokens),
        guessed=any(t and t.guessed for t in tokens),
        hours=None if None in seconds else sum(seconds) / 3600,
    )


def _row(name: str, cost: Cost) -> list[str]:
    counts = (
        cost.jobs,
        cost.gpu_jobs,
        cost.slurm_jobs,
        cost.trainings,
        cost.work.images,
        cost.work.prompts,
        cost.literal,
    )
    fast = "?" if cost.fast is None else f"{'~' * cost.guessed}{cost.fast:,}"
    hours = "?" if cost.hours is None else f"{cost.hours:.1f}"
    return [name, *("?" if n is None else f"{n:,}" for n in counts), fast, f"{cost.work.disk / 1e9:.1f}", hours]


def _notes(plan: Plan, estimator: Estimator, counter: Counter, throughput: Throughput | None) -> list[str]:
    known = estimator.datasets
    notes = [
        "",
        f"{len(plan.datasets)} datasets, {sum(size.download_bytes for size in known.values()) / 1e9:.0f} GB to download "
        "(as far as published), the same again unpacked; disk GB is what results take beside them.",
        "A pass is one image, or one class name in its context, through its tower; jobs shared by experiments count in each.",
    ]
    if lacking := sorted(set(plan.datasets) - set(known)):
        notes.append(f"Left out, as nothing says how large they are before their manifest is there: {listed(lacking)}.")
    if stated := sorted(name for name, size in known.items() if size.estimated):
        shown = (f"{known[name].test_images:,} test images of {name}" for name in stated)
        notes.append(f"Stated by the authors and not checked: {', '.join(shown)}.")
    if any(not size.classnames for size in known.values()):
        notes.append(
            f"~ reckons with {TAIL} tokens a class; `snakemake --until manifest` with this configuration downloads the datasets "
            "and lists their names."
        )
    if estimator.backbone.embed_dim is None:
        notes.append(f"open_clip has no config of {plan.backbone.model}; disk is without features.")
    if throughput is None:
        notes.append(
            "GPU hours need this device's speed: `python -m cocoop bench --json bench.json`, then --throughput bench.json."
        )
    else:
        notes.append(
            f"GPU hours: {throughput.where}, {throughput.precision}, with {START_SECONDS:.0f} s to start each job."
        )
        if throughput.images_per_second is None:
            notes.append("They also need --images-per-second: the log of any finished `features` job shows it.")
    return notes
