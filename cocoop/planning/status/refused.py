"""Writes why a job could not be submitted into its log, where `status` and the failure summary look for errors.

Snakemake drops the executor's words for grouped jobs, so they are taken where every executor plugin hands them over.
"""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cocoop.planning.status.logs import ending

REFUSED, UNSUBMITTED = "not accepted by sbatch: ", "not submitted: "
SBATCH = re.compile(r"sbatch: (?:error: |fatal: )?(.+)")
FAILED = "Batch job submission failed: "  # sbatch's own words before the reason
MOST_CHARACTERS = 300


def record() -> None:
    """From now on, submissions that fail in this process are recorded (to be called before Snakemake's first job)."""
    from snakemake.jobs import GroupJob
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

    # The Slurm plugin (2.8) reports an exception during a submission by the name of `job.rule`. Groups have none, and the
    # exception was lost: Snakemake then waited for the group forever.
    if not hasattr(GroupJob, "rule"):
        GroupJob.rule = property(lambda group: SimpleNamespace(name=group.groupid))

    report = RemoteExecutor.print_job_error

    def print_job_error(executor: Any, job_info: Any, msg: str | None = None, **details: Any) -> None:
        if job_info.external_jobid is None:  # Slurm gave it no number
            _write(job_info.job, reason(msg or ""))
        report(executor, job_info, msg, **details)

    RemoteExecutor.print_job_error = print_job_error


def reason(message: str) -> str:
    """One line: what sbatch said, the last line first because it sums up the others; else the start of the message."""
    words = [line.strip() for line in SBATCH.findall(message.replace("'.\n", "\n").removesuffix("'."))]
    if not words:
        return UNSUBMITTED + (" ".join(message.split())[:MOST_CHARACTERS] or "no reason given")
    *details, last = words
    return REFUSED + ": ".join([last.removeprefix(FAILED), *details])


def _write(job: Any, why: str) -> None:
    """job: Snakemake's, or a group of them. Jobs that lack an input had no turn in their group and get no error."""
    for member in getattr(job, "jobs", [job]):
        if all(Path(path).exists() for path in member.input):
            for log in member.log:
                _append(Path(log), why, job.attempt)


def _append(log: Path, why: str, attempt: int) -> None:
    """If an earlier attempt ran and failed, the line has its error too."""
    earlier = ending(log).error
    if earlier and why in earlier:
        return
    if earlier and not earlier.startswith((REFUSED, UNSUBMITTED)):
        why = f"{earlier}; attempt {attempt} was {why}"
    elif attempt > 1:
        why += f" (attempt {attempt})"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\nerror: {why}\n")
