"""Which of the jobs that can start Snakemake starts first."""

from collections.abc import Mapping

from cocoop.config.specs import DatasetSpec
from cocoop.planning import stages
from cocoop.planning.job import Job
from cocoop.run import Run

FOR_TRAININGS = (stages.MANIFEST, stages.TEXT_TOWER, stages.FEWSHOT, stages.VIEWS)
FIRST, BESIDE, LAST = 2.0, 0.5, 0.0


def priority(job: Job, datasets: Mapping[str, DatasetSpec]) -> float:
    """A number that is higher for a job to start earlier. datasets: those of the plan, by name.

    First what trainings wait for, then trainings, the longest first, then the rest. Short jobs at the end leave no processor
    idle; with long ones at the end, the last would run alone. Downloads come after trainings: they need the network, so they
    go on beside them wherever there are more processors than GPUs. Datasets that are drawn need a processor and come first.
    """
    if job.stage is stages.TRAIN and isinstance(job.about, Run):
        length = _steps(job.about)
        return 1 + length / (1 + length)
    if job.stage is stages.DOWNLOAD:
        return FIRST if "miniature" in datasets[str(job.about)].settings else BESIDE
    return FIRST if job.stage in FOR_TRAININGS else LAST


def _steps(run: Run) -> float:
    """Roughly the number of training steps for each class; 0 without gradient training."""
    if run.training is None or run.temperature != "none":
        return 0
    return run.training.epochs * run.shots / run.training.batch_size
