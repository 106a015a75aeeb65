"""The `status` command, and what Snakemake says when something failed."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tabulate import tabulate

from cocoop.config import Plan
from cocoop.config.jobs import Job, Views, jobs_of
from cocoop.costing.sizes import backbone_size, dataset_sizes
from cocoop.costing.work import Estimator
from cocoop.monitor import by_hand, time_left
from cocoop.monitor.states import Seen, State, look

MOST_SHOWN = 10
CONTINUE = "stopped; nothing finished is lost: run the same command again to continue"


def show(plan: Plan, folder: Path, configfiles: Sequence[Path]) -> None:
    """Prints the counts by stage, what failed and how to run it again, and the time left."""
    seen = look(jobs_of(plan), folder)
    print(_table(seen))
    print(*_running(seen), *failures(plan, seen, configfiles), *_time(plan, seen, folder), sep="\n")


def show_failures(plan: Plan, folder: Path, configfiles: Sequence[Path]) -> None:
    """Prints the failed jobs, none after Ctrl-C, and how to continue (for Snakemake's onerror)."""
    print(*failures(plan, look(jobs_of(plan), folder), configfiles), "", CONTINUE, sep="\n", flush=True)


def _table(seen: Sequence[Seen]) -> str:
    counts: dict[str, Counter] = {}
    for one in seen:
        counts.setdefault(one.job.stage, Counter())[one.state] += 1
    rows = [[stage, *(found[state] or "" for state in State)] for stage, found in counts.items()]
    total = sum(counts.values(), Counter())
    rows.append(["all", *(total[state] for state in State)])
    return tabulate(rows, ["stage", *(state.value for state in State)], "simple")


def _running(seen: Sequence[Seen]) -> Iterator[str]:
    running = [one for one in seen if one.state is State.RUNNING]
    if running:
        yield ""
        yield "running:"
        yield from (f"  {name(one.job)}  ({one.job.log})" for one in running[:MOST_SHOWN])
        if len(running) > MOST_SHOWN:
            yield f"  and {len(running) - MOST_SHOWN} more"


def failures(plan: Plan, seen: Sequence[Seen], configfiles: Sequence[Path]) -> Iterator[str]:
    """One paragraph for each failed job: why, its log, and two ways to run it alone."""
    failed = [one for one in seen if one.state is State.FAILED]
    for one in failed[:MOST_SHOWN]:
        yield ""
        yield f"failed: {name(one.job)}: {one.reason}"
        yield f"  log:    {one.job.log}"
        yield f"  again:  {by_hand.through_snakemake(one.job, configfiles)}"
        if line := by_hand.stage(plan, one.job):
            yield f"  alone:  {line}"
    if len(failed) > MOST_SHOWN:
        yield f"and {len(failed) - MOST_SHOWN} more failed jobs:"
        yield from (f"  {one.job.log}" for one in failed[MOST_SHOWN:])


def _time(plan: Plan, seen: Sequence[Seen], folder: Path) -> Iterator[str]:
    yield ""
    if all(one.state is State.DONE for one in seen):
        yield "everything is done."
        return
    estimator = Estimator(plan, dataset_sizes(plan, folder), backbone_size(plan.backbone))
    rest, at_once = (
        time_left.rest(seen, estimator),
        sum(one.state is State.RUNNING and one.job.needs_gpu for one in seen),
    )
    if rest.seconds:
        pace = f"; about {duration(rest.seconds / at_once)} with {at_once} at a time as now" if at_once > 1 else ""
        yield f"left: about {duration(rest.seconds)} of jobs, one after the other{pace}."
    if rest.unknown:
        yield f"{rest.unknown} jobs are of a kind of which none is done yet; their time is unknown."
    changed = max((path.stat().st_mtime for one in seen if (path := folder / one.job.log).exists()), default=None)
    if changed is not None:
        yield f"the last sign of life is {duration(time.time() - changed)} old."


def name(job: Job) -> str:
    """A job in words: `train cocoop on digits/base, 16 shots, seeds 1-2-3`."""
    what = job.what
    if isinstance(what, str):
        return f"{job.stage} {what}"
    block = getattr(what, "block", what)
    draw = f"{block.dataset}/{block.subset}, {block.shots} shots, seeds {'-'.join(map(str, block.seeds))}"
    if isinstance(what, Views):
        return f"views {what.name} of {draw}"
    if job.stage == "train":
        return f"train {block.variant} on {draw}"
    return f"evaluate {block.variant} of {draw} on {what.target}/{what.subsets_text}"


def duration(seconds: float) -> str:
    """3 h 20 min, 5 min or 40 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min" if minutes else f"{rest} s"
