"""The `status` command, and Snakemake's final report if jobs failed."""

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from cocoop.config.draw import shots_text
from cocoop.planning import Plan
from cocoop.planning.cost.sizes import dataset_sizes
from cocoop.planning.cost.work import Estimator
from cocoop.planning.environment import environment
from cocoop.planning.job import Job, Views
from cocoop.planning.jobs import jobs_of
from cocoop.planning.status import groups, head, leftovers, silence, time_left
from cocoop.planning.status.silence import duration
from cocoop.planning.status.states import Seen, State, look
from cocoop.run import Evaluation, Run, seeds_text

MOST_SHOWN = 10
CONTINUE = "stopped; finished work is kept: run the same command again to continue"


def show(plan: Plan, folder: Path, configfiles: Sequence[Path]) -> None:
    """Prints the number of jobs by stage and state, failed jobs and how to run them again, and the remaining time."""
    seen, undone = _look(plan, folder)
    print(_table(seen))
    print(
        *_running(plan, seen),
        *failures(plan, folder, seen, undone, _options(configfiles, {})),
        *_time(plan, seen, folder),
        *silence.of_everything(seen, folder),
        *leftovers.note([one.job for one in seen], plan.config["data_root"], folder),
        sep="\n",
    )


def show_failures(plan: Plan, folder: Path, configfiles: Sequence[Path], config: Mapping[str, Any]) -> None:
    """Prints the failed jobs (none after Ctrl-C) and how to continue. For Snakemake's onerror.

    config: the values of --config, as Snakemake has read them.
    """
    seen, undone = _look(plan, folder)
    lines = failures(plan, folder, seen, undone, _options(configfiles, config))
    print(*lines, "", CONTINUE, sep="\n", flush=True)


def _look(plan: Plan, folder: Path) -> tuple[list[Seen], int]:
    names = head.settings(head.profile(folder)).get("groups", {})
    return groups.sort_out(look(jobs_of(plan), folder), names)


def _table(seen: Sequence[Seen]) -> str:
    counts: dict[str, Counter] = {}
    for one in seen:
        counts.setdefault(one.job.stage.name, Counter())[one.state] += 1
    rows = [[stage, *(found[state] or "" for state in State)] for stage, found in counts.items()]
    total = sum(counts.values(), Counter())
    rows.append(["all", *(total[state] for state in State)])
    return tabulate(rows, ["stage", *(state.value for state in State)], "simple")


def _running(plan: Plan, seen: Sequence[Seen]) -> Iterator[str]:
    running = [one for one in seen if one.state is State.RUNNING]
    if running:
        yield ""
        yield "running:"
        yield from (f"  {_name(plan, one.job)}  ({one.job.log}){silence.of_job(one)}" for one in running[:MOST_SHOWN])
        if len(running) > MOST_SHOWN:
            yield f"  and {len(running) - MOST_SHOWN} more"


def failures(plan: Plan, folder: Path, seen: Sequence[Seen], undone: int, options: Sequence[str]) -> Iterator[str]:
    """A paragraph for each failed job, those with an error in their log first: reason, log, and two commands to run it again.

    undone: number of jobs that were undone because another job of their group failed.
    options: Snakemake's, which name the configuration.
    """
    failed = sorted((one for one in seen if one.state is State.FAILED), key=lambda one: one.end.error is None)
    profile = head.profile(folder)
    for number, one in enumerate(failed):
        yield ""
        yield f"failed: {_name(plan, one.job)}: {one.reason}"
        yield f"  log:    {one.job.log}"
        yield f"  again:  {_through_snakemake(one.job, options, profile)}"
        if number < MOST_SHOWN and one.job.needs_gpu:
            yield f"  alone:  {alone(plan, one.job)}"
    if undone:
        yield ""
        yield f"undone because another job of their group failed: {undone} jobs; they run again together with the failed ones."


def _options(configfiles: Sequence[Path], config: Mapping[str, Any]) -> list[str]:
    """The options that name a configuration."""
    files = ["--configfile", *map(str, configfiles)] if configfiles else []
    values = ["--config", *(f"{key}={_written(value)}" for key, value in config.items())] if config else []
    return [*files, *values]


def _written(value: Any) -> str:
    """What --config reads as this value: lists, mappings and texts that look like a number as YAML, null as nothing."""
    if isinstance(value, list | dict) or (isinstance(value, str) and _is_number(value)):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _through_snakemake(job: Job, options: Sequence[str], profile: str | None) -> str:
    """The Snakemake command that runs the job and its missing inputs, with the profile of the last run."""
    how = ["--profile", profile] if profile else ["--cores", "all", "--rerun-incomplete"]
    program = ["snakemake"] if Path("workflow/Snakefile").exists() else ["cocoop", "run"]
    return shlex.join([*program, *how, *options, "--", next(iter(job.outputs.values()))])


def alone(plan: Plan, job: Job) -> str:
    """The command that runs the stage in the working folder without Snakemake, with its environment variables."""
    variables = [f"{name}={shlex.quote(value)}" for name, value in environment(plan.config).items()]
    return " ".join([*variables, shlex.join(["python", "-m", "cocoop", *job.command])])


def _time(plan: Plan, seen: Sequence[Seen], folder: Path) -> Iterator[str]:
    yield ""
    if all(one.state is State.DONE for one in seen):
        yield "everything is done."
        return
    estimator = Estimator(plan, dataset_sizes(plan, folder))
    rest = time_left.rest(seen, estimator)
    at_once = sum(one.state is State.RUNNING and one.job.needs_gpu for one in seen)
    if rest.seconds:
        pace = f"; about {duration(rest.seconds / at_once)} with {at_once} at a time, as now" if at_once > 1 else ""
        least = "at least" if rest.unknown else "about"
        yield f"left: {least} {duration(rest.seconds)} of jobs, one after another{pace}."
    if rest.unknown:
        yield f"{rest.unknown} jobs have an unknown time, because no similar job is done yet or their size is unknown."


def _name(plan: Plan, job: Job) -> str:
    """A job in words, with its backbone if the plan has several."""
    return f"{name(job)} ({job.backbone})" if job.backbone and len(plan.backbones) > 1 else name(job)


def name(job: Job) -> str:
    """A job in words: `train cocoop on digits/base, 16 shots, seeds 1-2-3`."""
    about = job.about
    if isinstance(about, str):
        return f"{'local ' if job.local else ''}{job.stage.name} {about}"
    run = about.run if isinstance(about, Evaluation) else about
    drawn = f", {run.draw.text}" if run.draw.text else ""
    draw = f"{run.dataset}/{run.subset}, {shots_text(run.shots)} shots{drawn}, seeds {seeds_text(run.seeds)}"
    if isinstance(about, Views):
        return f"views {about.name} of {draw}"
    if isinstance(about, Run):
        return f"train {about.variant} on {draw}"
    return f"evaluate {about.run.variant} of {draw} on {about.target}/{about.subsets_text}"
