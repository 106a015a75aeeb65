"""The `plan` command: the estimated cost of a configuration by experiment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

from tabulate import tabulate

from cocoop.planning import Plan
from cocoop.planning.cost import notes
from cocoop.planning.cost.groups import submissions
from cocoop.planning.cost.image_rate import decoders
from cocoop.planning.cost.sizes import dataset_sizes
from cocoop.planning.cost.throughput import Throughput
from cocoop.planning.cost.tokens import Counter, Tokens
from cocoop.planning.cost.work import Estimator, Work
from cocoop.planning.job import Job
from cocoop.planning.jobs import jobs_of
from cocoop.run import Run

COLUMNS = 100
HEAD = ("experiment", "jobs", "GPU\njobs", "Slurm\njobs", "train-\nings", "image\npasses", "text\npasses", "tokens,\nliteral",
        "tokens,\ncomputed", "disk\nGB")  # fmt: skip
HOURS = ("experiment", "image hours", "text hours, literal", "text hours")
SUM, LONGEST_NAME = "all, shared jobs once", 22


class Costed(NamedTuple):
    """Work, tokens and seconds of a GPU job; seconds and tokens are None if unknown."""

    work: Work
    tokens: Tokens | None
    image_seconds: float | None
    literal_seconds: float | None
    text_seconds: float | None


@dataclass(frozen=True)
class Cost:
    """Sums over jobs; None if a part is unknown.

    Attributes:
        jobs, gpu_jobs, slurm_jobs: numbers of jobs.
        trainings: number of trainings, counting each seed.
        work: passes and disk.
        literal: tokens that the authors' code computes.
        fast: tokens that the exact prompt encoder computes.
        guessed: whether `fast` is a guess, because class names are unknown.
        image_hours: hours of image encoding on the measured device.
        literal_hours: hours of trainings and tests with the authors' code on that device.
        text_hours: hours of trainings and tests with the exact prompt encoder on that device.
    """

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
    """Prints the table and notes on missing information.

    folder: the working folder.
    bench: output of `python -m cocoop bench --json`.
    images_per_second: speed of decoding and encoding; overrides the bench.
    workers: decoding processes per GPU (default: as in the Slurm profile).
    """
    estimator = Estimator(plan, dataset_sizes(plan, folder))
    workers = decoders() if workers is None else workers
    throughput = Throughput(bench, next(iter(plan.backbones.values())).precision, images_per_second, workers)
    counter, jobs = Counter(estimator), jobs_of(plan)
    costed = [(job, _costed(job, estimator, counter, throughput)) for job in jobs]
    parts = {name: [pair for pair in costed if name in pair[0].experiments] for name in plan.experiments}
    if len(plan.backbones) > 1:
        parts |= {f"with {name}": [pair for pair in costed if pair[0].backbone == name] for name in plan.backbones}
    costs = {name: _cost(part) for name, part in {**parts, SUM: costed}.items()}
    print(_table(HEAD, [_row(name, cost) for name, cost in costs.items()]))
    if any(hours is not None for cost in costs.values() for hours in _hours_of(cost)):
        print("", _table(HOURS, [_hours_row(name, cost) for name, cost in costs.items()]), sep="\n")
    for note in (*notes.of(plan, estimator, throughput), *notes.local(jobs, estimator)):
        print(fill(note, COLUMNS, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The head as a row of its own, because tabulate would make each column two characters wider than its heading."""
    align = ["left"] + ["right"] * (len(head) - 1)
    lines = tabulate([head, *rows], tablefmt="plain", disable_numparse=True, colalign=align).splitlines()
    height = 1 + max(text.count("\n") for text in head)
    return "\n".join([*lines[:height], "-" * max(map(len, lines)), *lines[height:]])


def _costed(job: Job, estimator: Estimator, counter: Counter, throughput: Throughput) -> Costed | None:
    """None for a job without a GPU, and for one whose dataset's size is unknown."""
    if not job.needs_gpu or (work := estimator.work(job)) is None:
        return None
    return Costed(
        work=work,
        tokens=counter.tokens(job),
        image_seconds=throughput.image_seconds(estimator, job),
        literal_seconds=throughput.text_seconds(estimator, job, "literal"),
        text_seconds=throughput.text_seconds(estimator, job),
    )


def _cost(costed: Sequence[tuple[Job, Costed | None]]) -> Cost:
    jobs = [job for job, _ in costed]
    known = [cost for _, cost in costed if cost is not None]
    counted = [cost.tokens for cost in known if cost.tokens is not None]
    complete = len(counted) == len(known)
    return Cost(
        jobs=len(jobs),
        gpu_jobs=sum(job.needs_gpu for job in jobs),
        slurm_jobs=submissions(jobs),
        trainings=sum(len(job.about.seeds) for job in jobs if isinstance(job.about, Run)),
        work=sum((cost.work for cost in known), Work()),
        literal=sum(t.literal for t in counted) if complete else None,
        fast=sum(t.fast for t in counted) if complete else None,
        guessed=any(t.guessed for t in counted),
        image_hours=_hours([cost.image_seconds for cost in known]),
        literal_hours=_hours([cost.literal_seconds for cost in known]),
        text_hours=_hours([cost.text_seconds for cost in known]),
    )


def _hours(seconds: Sequence[float | None]) -> float | None:
    known = [part for part in seconds if part is not None]
    return sum(known) / 3600 if len(known) == len(seconds) else None


def _row(name: str, cost: Cost) -> list[str]:
    counts = [f"{number:,}" for number in (cost.jobs, cost.gpu_jobs, cost.slurm_jobs, cost.trainings)]
    passes = map(_millions, (cost.work.images, cost.work.prompts, cost.literal))
    fast = "~" * (cost.guessed and cost.fast is not None) + _millions(cost.fast)
    return [_broken(name), *counts, *passes, fast, f"{cost.work.disk / 1e9:.1f}"]


def _hours_row(name: str, cost: Cost) -> list[str]:
    return [name, *("?" if hours is None else f"{hours:,.1f}" for hours in _hours_of(cost))]


def _hours_of(cost: Cost) -> tuple[float | None, ...]:
    return cost.image_hours, cost.literal_hours, cost.text_hours


def _millions(number: int | None) -> str:
    """A number in millions, with about three digits."""
    if number is None:
        return "?"
    millions = number / 1e6
    return f"{millions:,.{0 if millions >= 100 else 1 if millions >= 10 else 3}f}"


def _broken(name: str) -> str:
    """A long name in two lines, broken after an underscore."""
    place = name.rfind("_", 0, LONGEST_NAME) + 1
    return f"{name[:place]}\n{name[place:]}" if len(name) > LONGEST_NAME and place else name
