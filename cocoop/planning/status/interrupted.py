"""Whether the latest Snakemake was stopped with Ctrl-C: the jobs it cancelled then have not failed."""

from pathlib import Path

STOPPED = "Terminating processes on user request"  # in Snakemake's own log (snakemake/scheduling/job_scheduler.py)


def by_user(folder: Path) -> bool:
    """Reads the latest of Snakemake's logs, whose names begin with the time of the start.

    The marks of begun outputs do not tell it: on Slurm the Snakemake inside a cancelled job may take its own away before it dies.
    """
    logs = sorted((folder / ".snakemake" / "log").glob("*.snakemake.log"))
    try:
        return bool(logs) and STOPPED in logs[-1].read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
