"""The length of a training, its learning rates, and the order of its images."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cocoop.config.specs import TrainingSpec


@dataclass(frozen=True)
class Schedule:
    """The steps of a training on N images per seed."""

    training: TrainingSpec
    images: int

    @property
    def per_epoch(self) -> int:
        """Steps of a complete epoch."""
        return batches(self.images, self.training.batch_size, self.training.drop_last)

    @property
    def steps(self) -> int:
        """Total number of steps."""
        return self.training.steps or self.training.epochs * self.per_epoch

    @property
    def epochs(self) -> int:
        """Total number of epochs; the last one may be incomplete."""
        return math.ceil(self.steps / self.per_epoch)

    def steps_of(self, epoch: int) -> int:
        """Steps of an epoch (from 0)."""
        return min(self.per_epoch, self.steps - epoch * self.per_epoch)

    def warming_up(self, epoch: int) -> bool:
        """Whether an epoch (from 0) belongs to the warm-up."""
        return epoch < self.training.warmup_epochs

    def rate(self, epoch: int, step: int) -> float:
        """The learning rate of a step (from 0) of an epoch (from 0)."""
        if self.training.schedule == "epoch":
            return annealed(self.training, epoch, self.training.warmup_epochs, self.epochs)
        warmup = self.training.warmup_epochs * self.per_epoch
        return annealed(self.training, epoch * self.per_epoch + step, warmup, self.steps)


def annealed(training: TrainingSpec, position: int, warmup: int, length: int) -> float:
    """The learning rate at a position (from 0) of a training of some length, both in epochs or both in steps.

    Constant during the warm-up, followed by cosine annealing whose counter starts after the warm-up, so it never reaches the last
    values of the cosine (Dassl lr_scheduler.py:35-54,128-131 with recount).
    """
    if position < warmup:
        return training.warmup_lr
    share = (1 + math.cos(math.pi * (position - warmup) / length)) / 2
    return training.min_lr + (training.lr - training.min_lr) * share


def shuffled(seed: int, epoch: int, images: int) -> Tensor:
    """The order (N,) of the images in an epoch, which only depends on the arguments."""
    source = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(images, generator=source)


def batches(images: int, batch_size: int, drop_last: bool = True) -> int:
    """Steps of an epoch.

    drop_last: whether to drop an incomplete last batch, unless it is the only one (Dassl data_manager.py:43).
    """
    return max(1, images // batch_size if drop_last else math.ceil(images / batch_size))
