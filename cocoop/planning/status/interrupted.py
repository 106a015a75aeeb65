"""Whether the latest Snakemake was stopped with Ctrl-C, so that cancelled jobs do not count as failed."""

from pathlib import Path

from cocoop.planning.status import head

STOPPED = "Terminating processes on user request"  # in Snakemake's log (snakemake/scheduling/job_scheduler.py)


def by_user(folder: Path) -> bool:
    """Reads the latest of Snakemake's logs.

    The marks of incomplete outputs do not show it: on Slurm, Snakemake inside a cancelled job may delete its marks before it dies.
    """
    logs = head.logs(folder)
    try:
        return bool(logs) and STOPPED in logs[0].read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
