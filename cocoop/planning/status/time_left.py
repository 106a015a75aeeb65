"""Estimates the remaining time from the jobs that are done."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import StatisticsError, fmean, linear_regression

from cocoop.planning.cost.work import Estimator
from cocoop.planning.job import Job
from cocoop.planning.stages import EVALUATE
from cocoop.planning.status.states import Seen, State
from cocoop.run import Evaluation, Run


@dataclass(frozen=True)
class Rest:
    """The remaining time.

    Attributes:
        seconds: total time of the remaining jobs, without the unknown ones.
        unknown: number of jobs without an estimate.
    """

    seconds: float
    unknown: int


def rest(seen: Sequence[Seen], estimator: Estimator) -> Rest:
    """Estimates the seconds left: for each remaining GPU job, its work times the time per unit of work so far.

    A job is unknown if no job of its kind is done yet, or if its work is unknown (a dataset of unknown size).
    """
    done: dict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
    for one in seen:
        amount = _amount(one.job, estimator)
        if one.state is State.DONE and one.seconds is not None and amount is not None:
            done[_kind(one.job, estimator)].append((amount, one.seconds))
    todo = [one for one in seen if one.state is not State.DONE and one.job.usage is not None]
    found = [_seconds(one, done.get(_kind(one.job, estimator), ()), estimator) for one in todo]
    known = [seconds for seconds in found if seconds is not None]
    return Rest(sum(known), len(found) - len(known))


def _seconds(one: Seen, points: Sequence[tuple[float, float]], estimator: Estimator) -> float | None:
    """Seconds left of one job; the log of a running job shows its progress."""
    running = one.state is State.RUNNING
    if running and one.job.stage is not EVALUATE and one.end.left is not None:
        return one.end.left  # from a single progress bar, which includes the work of earlier attempts
    amount = _amount(one.job, estimator)
    if amount is None or not points:
        return None
    total = _predicted(points, amount)
    return max(0.0, total - one.end.elapsed) if running else total


def _kind(job: Job, estimator: Estimator) -> tuple[str, ...]:
    """The kind of a job. The time of jobs of one kind depends on their work in the same way."""
    run = job.about.run if isinstance(job.about, Evaluation) else job.about
    of = (job.stage.name, job.backbone or "")
    return (*of, estimator.kind(run), run.inputs) if isinstance(run, Run) else of


def _amount(job: Job, estimator: Estimator) -> float | None:
    work = estimator.work(job)
    return None if work is None else float(work.images + work.prompts)


def _predicted(points: Sequence[tuple[float, float]], amount: float) -> float:
    """A constant start time plus time proportional to the work, or only the latter if the points show no start time.

    The mean if no point has any work.
    """
    amounts, seconds = [x for x, _ in points], [y for _, y in points]
    if not any(amounts):
        return fmean(seconds)
    try:
        slope, start = linear_regression(amounts, seconds)
    except StatisticsError:  # one amount only
        slope, start = 0.0, 0.0
    return start + slope * amount if slope > 0 and start > 0 else amount * sum(seconds) / sum(amounts)
