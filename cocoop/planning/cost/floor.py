"""The operations of a job: the floor under its time on any device."""

from cocoop.planning.cost.tokens import Counter
from cocoop.planning.cost.work import Estimator
from cocoop.planning.job import Job
from cocoop.planning.stages import TRAIN
from cocoop.run import Evaluation

TRAINING = 2  # a training step in forward passes; with frozen weights, the backward pass has as many products as the forward pass


def operations(job: Job, counter: Counter) -> int | None:
    """Operations of a job in both towers; None if unknown."""
    parts = image_operations(job, counter.estimator), text_operations(job, counter)
    return None if None in parts else sum(part for part in parts if part is not None)


def image_operations(job: Job, estimator: Estimator) -> int | None:
    """Operations in the image tower; in a training on live images, forward and backward through all of its layers."""
    work, size = estimator.work(job), estimator.backbone(job)
    if work is None or not work.images:
        return 0 if work else None
    one = size.image_operations if size else None
    return None if one is None else work.images * one * (TRAINING if job.stage is TRAIN else 1)


def text_operations(job: Job, counter: Counter) -> int | None:
    """Operations in the text tower, on the exact path."""
    work, size = counter.estimator.work(job), counter.estimator.backbone(job)
    if work is None or not work.prompts:
        return 0 if work else None
    tokens = counter.tokens(job)
    if size is None or size.text is None or tokens is None:
        return None
    forward = size.text.operations(tokens.fast, work.prompts)
    return forward if isinstance(job.about, Evaluation) else TRAINING * forward
