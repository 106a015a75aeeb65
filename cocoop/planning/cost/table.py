"""The `plan` command: what a configuration costs, experiment by experiment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from cocoop.errors import listed
from cocoop.planning import Plan
from cocoop.planning.cost.groups import submissions
from cocoop.planning.cost.image_rate import decoders
from cocoop.planning.cost.sizes import backbone_size, dataset_sizes
from cocoop.planning.cost.throughput import START_SECONDS, Throughput
from cocoop.planning.cost.tokens import TAIL, Counter
from cocoop.planning.cost.work import Estimator, Work
from cocoop.planning.job import Job
from cocoop.planning.jobs import jobs_of
from cocoop.run import Run

HEAD = ("experiment", "jobs", "GPU jobs", "Slurm jobs", "trainings", "image passes", "text passes", "tokens, literal",
        "tokens, computed", "disk GB", "image hours", "text hours, literal", "text hours")  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """Sums over jobs. None where a part is unknown; hours: on the measured device, of images through their
    tower and of trainings and tests (literal: as the authors' code computes them)."""

    jobs: int
    gpu_jobs: int
    slurm_jobs: int
    trainings: int
    work: Work
    literal: int | None
    fast: int | None
    guessed: bool
    image_hours: float | None
    literal_hours: float | None
    text_hours: float | None


def show(
    plan: Plan,
    folder: Path,
    bench: Path | None = None,
    images_per_second: float | None = None,
    workers: int | None = None,
) -> None:
    """Prints the table and what would make it more exact. folder: where results and images lie; workers: processes that decode."""
    sizes = dataset_sizes(plan, folder)
    estimator = Estimator(plan, sizes, backbone_size(plan.backbone))
    workers = decoders() if workers is None else workers
    throughput = Throughput(bench, plan.backbone.precision, images_per_second, workers)
    counter, jobs = Counter(estimator), jobs_of(plan)
    parts = {name: [job for job in jobs if name in job.experiments] for name in plan.experiments}
    rows = [_row(name, _cost(plan, part, estimator, counter, throughput)) for name, part in parts.items()]
    rows.append(_row("all, shared jobs once", _cost(plan, jobs, estimator, counter, throughput)))
    print(tabulate(rows, HEAD, "pipe", disable_numparse=True, colalign=["left"] + ["right"] * (len(HEAD) - 1)))
    print(*_notes(plan, estimator, counter, throughput), sep="\n")


def _cost(plan: Plan, jobs: Sequence[Job], estimator: Estimator, counter: Counter, throughput: Throughput) -> Cost:
    gpu = [job for job in jobs if job.needs_gpu]
    works = {job: work for job in gpu if (work := estimator.work(job)) is not None}
    known, tokens = list(works), [counter.tokens(job) for job in works]
    counted = [t for t in tokens if t is not None]
    complete = len(counted) == len(tokens)
    return Cost(
        jobs=len(jobs),
        gpu_jobs=len(gpu),
        slurm_jobs=submissions(jobs),
        trainings=sum(len(job.about.seeds) for job in jobs if isinstance(job.about, Run)),
        work=sum(works.values(), Work()),
        literal=sum(t.literal for t in counted) if complete else None,
        fast=sum(t.fast for t in counted) if complete else None,
        guessed=any(t.guessed for t in counted),
        image_hours=_hours([throughput.image_seconds(estimator, job) for job in known]),
        literal_hours=_hours([throughput.text_seconds(estimator, job, "literal") for job in known]),
        text_hours=_hours([throughput.text_seconds(estimator, job) for job in known]),
    )


def _hours(seconds: Sequence[float | None]) -> float | None:
    known = [part for part in seconds if part is not None]
    return sum(known) / 3600 if len(known) == len(seconds) else None


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
    hours = [
        "?" if hours is None else f"{hours:.1f}" for hours in (cost.image_hours, cost.literal_hours, cost.text_hours)
    ]
    return [name, *("?" if n is None else f"{n:,}" for n in counts), fast, f"{cost.work.disk / 1e9:.1f}", *hours]


def _notes(plan: Plan, estimator: Estimator, counter: Counter, throughput: Throughput) -> list[str]:
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
    return notes + _speed(throughput)


def _speed(throughput: Throughput) -> list[str]:
    """What the hours rest on, and what they lack."""
    start = f"with {START_SECONDS:.0f} s to start each job."
    if throughput.where is None:
        notes = [
            "GPU hours need this device's speed: `python -m cocoop bench --json bench.json`, then --throughput bench.json."
        ]
    else:
        notes = [f"Text hours: one {throughput.where}, {throughput.precision}, {start}"]
    rate = throughput.image_rate
    if throughput.images_per_second:
        notes.append(f"Image hours: {throughput.images_per_second:,.0f} images a second, as given, {start}")
    elif rate:
        notes.append(
            f"Image hours: {rate.device:,.1f} images a second through ViT-B/16 there; each of {rate.workers} processes (--workers) "
            f"decodes {1 / rate.picture:,.0f} pictures or cuts {1 / rate.view:,.0f} views a second; the slower counts, {start}"
        )
    elif throughput.where:
        notes.append(
            "Image hours need a bench without --quick, or --images-per-second: the log of a `features` job shows it."
        )
    return notes
