"""Writes the reason for a failed submission to the job's log, where `status` and the failure summary look for errors.

Snakemake drops the executor's message for grouped jobs, so this module takes it where all executor plugins report it.
"""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cocoop.planning.status.logs import ending

REFUSED, UNSUBMITTED = "not accepted by sbatch: ", "not submitted: "
SBATCH = re.compile(r"sbatch: (?:error: |fatal: )?(.+)")
FAILED = "Batch job submission failed: "  # sbatch prints this before the reason
MOST_CHARACTERS = 300


def record() -> None:
    """Makes this process record failed submissions. Must be called before Snakemake's first job."""
    from snakemake.jobs import GroupJob
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

    # The Slurm plugin (2.8) reports an exception during a submission with the name of `job.rule`. Groups have no rule, so the
    # exception was lost and Snakemake waited for the group forever.
    if not hasattr(GroupJob, "rule"):
        GroupJob.rule = property(lambda group: SimpleNamespace(name=group.groupid))

    report = RemoteExecutor.print_job_error

    def print_job_error(executor: Any, job_info: Any, msg: str | None = None, **details: Any) -> None:
        if job_info.external_jobid is None:  # Slurm did not accept the job
            _write(job_info.job, reason(msg or ""))
        report(executor, job_info, msg, **details)

    RemoteExecutor.print_job_error = print_job_error


def reason(message: str) -> str:
    """One line: the message of sbatch, with its last line first because it sums up the others; else the start of the message."""
    words = [line.strip() for line in SBATCH.findall(message.replace("'.\n", "\n").removesuffix("'."))]
    if not words:
        return UNSUBMITTED + (" ".join(message.split())[:MOST_CHARACTERS] or "no reason given")
    *details, last = words
    return REFUSED + ": ".join([last.removeprefix(FAILED), *details])


def _write(job: Any, why: str) -> None:
    """job: a job or group of Snakemake. Jobs of a group whose inputs are missing would not have started and get no error."""
    for member in getattr(job, "jobs", [job]):
        if all(Path(path).exists() for path in member.input):
            for log in member.log:
                _append(Path(log), why, job.attempt)


def _append(log: Path, why: str, attempt: int) -> None:
    """Appends the reason to a log, together with the error of an earlier attempt that ran and failed."""
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
