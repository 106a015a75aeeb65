"""How long the rest will take, at the pace of what is done."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import StatisticsError, fmean, linear_regression

from cocoop.config import Block, Evaluation
from cocoop.config.jobs import Job
from cocoop.costing.work import Estimator
from cocoop.monitor.states import Seen, State


@dataclass(frozen=True)
class Rest:
    """seconds: of the jobs still to do, one after the other; unknown: jobs of a kind of which none is done yet."""

    seconds: float
    unknown: int


def rest(seen: Sequence[Seen], estimator: Estimator) -> Rest:
    """Of all jobs that Snakemake measures and that are not done: their work times the time that work took so far."""
    done: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for one in seen:
        if one.state is State.DONE and one.seconds is not None:
            done[_kind(one.job, estimator)].append((_amount(one.job, estimator), one.seconds))
    seconds, unknown = 0.0, 0
    for one in seen:
        if one.state is State.DONE or one.job.benchmark is None:
            continue
        points = done.get(_kind(one.job, estimator))
        if points:
            seconds += _predicted(points, _amount(one.job, estimator))
        else:
            unknown += 1
    return Rest(seconds, unknown)


def _kind(job: Job, estimator: Estimator) -> tuple[str, str]:
    """Jobs whose time depends on their work in the same way."""
    block = job.what.block if isinstance(job.what, Evaluation) else job.what
    return job.stage, estimator.kind(block) if isinstance(block, Block) else ""


def _amount(job: Job, estimator: Estimator) -> float:
    work = estimator.work(job)
    return 0.0 if work is None else float(work.images + work.prompts)


def _predicted(points: Sequence[tuple[float, float]], amount: float) -> float:
    """A start that all jobs share plus time in proportion to the work; the mean where the points do not show that."""
    amounts, seconds = [x for x, _ in points], [y for _, y in points]
    try:
        slope, start = linear_regression(amounts, seconds)
    except StatisticsError:
        return fmean(seconds)
    return start + slope * amount if slope > 0 and start > 0 else fmean(seconds)
