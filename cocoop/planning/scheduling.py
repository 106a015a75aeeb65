"""Lets Snakemake's scheduler rest while nothing happens."""

from typing import Any

DEFAULT = (100, 1)  # jobs and seconds, of Snakemake's --max-jobs-per-timespan


def rest(workflow: Any) -> None:
    """Removes Snakemake's default limit of 100 jobs started per second. For Snakemake's onstart. A limit of the user's stays.

    workflow: Snakemake's workflow.
    With a limit, Snakemake 9 examines all waiting jobs again a second after each time that it did so, and each job that ends
    starts one more such series. After a few hundred jobs, it keeps a processor busy without having anything to start.
    """
    limiter = getattr(workflow.scheduler, "job_rate_limiter", None)
    if limiter is not None and (limiter.max_jobs, limiter.timespan) == DEFAULT:
        workflow.scheduler.job_rate_limiter = None
