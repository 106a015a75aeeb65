"""The `plan` command: the estimated cost of a configuration by experiment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

from tabulate import tabulate

from cocoop.errors import UserError, did_you_mean, listed, shown
from cocoop.planning import Plan
from cocoop.planning.cost import devices as known
from cocoop.planning.cost import hours, notes, phases
from cocoop.planning.cost.groups import submissions
from cocoop.planning.cost.image_rate import decoders
from cocoop.planning.cost.modelled import Modelled
from cocoop.planning.cost.phases import Phases, Speed
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
SUM, LONGEST_NAME = "all, shared jobs once", 22


class Costed(NamedTuple):
    """Work, tokens and time of a GPU job; tokens are None if unknown."""

    work: Work
    tokens: Tokens | None
    phases: Phases


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
    """

    jobs: int
    gpu_jobs: int
    slurm_jobs: int
    trainings: int
    work: Work
    literal: int | None
    fast: int | None
    guessed: bool


def show(
    plan: Plan,
    folder: Path,
    device: str | None = None,
    images_per_second: float | None = None,
    workers: int | None = None,
    devices: int = 1,
) -> None:
    """Prints the tables and notes on missing information.

    folder: the working folder.
    device: output of `python -m cocoop bench --json`, or the name of a device.
    images_per_second: speed of decoding and encoding; overrides that of the device.
    workers: decoding processes per device (default: as in the Slurm profile; none on a modelled CPU).
    devices: number of devices that work at the same time.
    """
    counter, jobs = Counter(Estimator(plan, dataset_sizes(plan, folder))), jobs_of(plan)
    estimator = counter.estimator
    speed = _speed(plan, device, counter, images_per_second, workers)
    costed = [(job, _costed(job, counter, speed)) for job in jobs]
    parts = {name: [pair for pair in costed if name in pair[0].experiments] for name in plan.experiments}
    if len(plan.backbones) > 1:
        parts |= {f"with {name}": [pair for pair in costed if pair[0].backbone == name] for name in plan.backbones}
    parts[SUM] = costed
    print(_table(HEAD, [_row(name, _cost(part)) for name, part in parts.items()]))
    times = {name: [cost.phases for _, cost in part if cost is not None] for name, part in parts.items()}
    if found := hours.grid(times, devices):
        print("", _table(*found), sep="\n")
    for note in (*notes.of(plan, estimator, speed), *notes.local(jobs, estimator)):
        print(fill(note, COLUMNS, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False))


def _speed(
    plan: Plan, device: str | None, counter: Counter, images_per_second: float | None, workers: int | None
) -> Speed:
    """The speed of a device: measured, if `device` is a file, or modelled, if it is a name."""
    precision = next(iter(plan.backbones.values())).precision
    if device in known.names():
        model = known.named(device, precision)
        decoding = (0 if model.on_cpu else decoders()) if workers is None else workers
        return Modelled(model, counter, images_per_second, decoding)
    if device is not None and not Path(device).exists():
        raise UserError(
            f"--throughput: {shown(device)} is neither a file nor a device; devices: {listed(known.names())}."
            f"{did_you_mean(device, known.names())} For a file, run `python -m cocoop bench --json bench.json` on your device."
        )
    path = None if device is None else Path(device)
    return Throughput(path, precision, images_per_second, decoders() if workers is None else workers)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The head as a row of its own, because tabulate would make each column two characters wider than its heading."""
    align = ["left"] + ["right"] * (len(head) - 1)
    lines = tabulate([head, *rows], tablefmt="plain", disable_numparse=True, colalign=align).splitlines()
    height = 1 + max(text.count("\n") for text in head)
    return "\n".join([*lines[:height], "-" * max(map(len, lines)), *lines[height:]])


def _costed(job: Job, counter: Counter, speed: Speed) -> Costed | None:
    """None for a job without a GPU, and for one whose dataset's size is unknown."""
    if not job.needs_gpu or (work := counter.estimator.work(job)) is None:
        return None
    return Costed(work, counter.tokens(job), phases.of(job, speed, counter))


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
    )


def _row(name: str, cost: Cost) -> list[str]:
    counts = [f"{number:,}" for number in (cost.jobs, cost.gpu_jobs, cost.slurm_jobs, cost.trainings)]
    passes = map(_millions, (cost.work.images, cost.work.prompts, cost.literal))
    fast = "~" * (cost.guessed and cost.fast is not None) + _millions(cost.fast)
    return [_broken(name), *counts, *passes, fast, f"{cost.work.disk / 1e9:.1f}"]


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
