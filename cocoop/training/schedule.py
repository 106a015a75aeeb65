"""Learning rates and image order of a training."""

import math

import torch
from torch import Tensor

from cocoop.config.specs import TrainingSpec


def learning_rate(training: TrainingSpec, epoch: int) -> float:
    """The rate in force in an epoch (from 0): constant warm-up, then cosine annealing whose counter starts after the warm-up.

    Dassl lr_scheduler.py:35-54,128-131 with recount: the last steps of the cosine are never reached.
    """
    if epoch < training.warmup_epochs:
        return training.warmup_lr
    return training.lr * (1 + math.cos(math.pi * (epoch - training.warmup_epochs) / training.epochs)) / 2


def shuffled(seed: int, epoch: int, images: int) -> Tensor:
    """The order (N,) in which an epoch visits the images; depends on nothing but its arguments."""
    source = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(images, generator=source)


def batches(images: int, batch_size: int) -> int:
    """Steps of an epoch: the last incomplete batch is dropped, unless it is the only one (Dassl data_manager.py:43)."""
    return max(1, images // batch_size)
