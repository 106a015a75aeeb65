"""Which of the jobs that can start Snakemake starts first."""

from cocoop.planning import stages
from cocoop.planning.job import Job
from cocoop.run import Run


def priority(job: Job) -> float:
    """A number that is higher for a job to start earlier.

    First what trainings wait for, then trainings, the longest first, then tests and the rest. Short jobs at the end leave no
    processor idle; with long ones at the end, the last would run alone.
    """
    if stages.ORDER.index(job.stage) < stages.ORDER.index(stages.TRAIN):
        return 2
    if not isinstance(job.about, Run):
        return 0
    length = _steps(job.about)
    return 1 + length / (1 + length)


def _steps(run: Run) -> float:
    """Roughly the number of training steps for each class; 0 without gradient training."""
    if run.training is None or run.temperature != "none":
        return 0
    return run.training.epochs * run.shots / run.training.batch_size
