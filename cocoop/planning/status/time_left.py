"""How long the rest will take, at the pace of what is done."""

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
    """seconds: of the jobs still to do, one after the other, without the unknown ones; unknown: how many jobs give no estimate."""

    seconds: float
    unknown: int


def rest(seen: Sequence[Seen], estimator: Estimator) -> Rest:
    """Of all jobs that Snakemake measures and that are not done: their work times the time that work took so far.

    Unknown are jobs of a kind of which none is done yet, and jobs whose work nobody knows (a dataset of unknown size).
    """
    done: dict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
    for one in seen:
        amount = _amount(one.job, estimator)
        if one.state is State.DONE and one.seconds is not None and amount is not None:
            done[_kind(one.job, estimator)].append((amount, one.seconds))
    todo = [one for one in seen if one.state is not State.DONE and one.job.benchmark is not None]
    found = [_seconds(one, done.get(_kind(one.job, estimator), ()), estimator) for one in todo]
    known = [seconds for seconds in found if seconds is not None]
    return Rest(sum(known), len(found) - len(known))


def _seconds(one: Seen, points: Sequence[tuple[float, float]], estimator: Estimator) -> float | None:
    """Of one job; a running one says in its log how far it is."""
    running = one.state is State.RUNNING
    if running and one.job.stage is not EVALUATE and one.end.left is not None:
        return one.end.left  # a single bar, which also knows what an earlier attempt did
    amount = _amount(one.job, estimator)
    if amount is None or not points:
        return None
    whole = _predicted(points, amount)
    return max(0.0, whole - one.end.elapsed) if running else whole


def _kind(job: Job, estimator: Estimator) -> tuple[str, ...]:
    """Jobs whose time depends on their work in the same way."""
    run = job.about.run if isinstance(job.about, Evaluation) else job.about
    if not isinstance(run, Run):
        return (job.stage.name,)
    return job.stage.name, estimator.kind(run), run.inputs


def _amount(job: Job, estimator: Estimator) -> float | None:
    work = estimator.work(job)
    return None if work is None else float(work.images + work.prompts)


def _predicted(points: Sequence[tuple[float, float]], amount: float) -> float:
    """A start that all jobs share plus time in proportion to the work; where the points show no such start, proportion alone.

    The mean only where no point has any work.
    """
    amounts, seconds = [x for x, _ in points], [y for _, y in points]
    if not any(amounts):
        return fmean(seconds)
    try:
        slope, start = linear_regression(amounts, seconds)
    except StatisticsError:  # one amount only
        slope, start = 0.0, 0.0
    return start + slope * amount if slope > 0 and start > 0 else amount * sum(seconds) / sum(amounts)
