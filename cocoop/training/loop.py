"""The training loop: gradient descent on a method's loss for S seeds at once."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from cocoop import progress
from cocoop.config.specs import TrainingSpec
from cocoop.device import deterministic, reseed, seeded
from cocoop.errors import UserError
from cocoop.images.inputs import TrainingImages
from cocoop.methods.base import Batch, Classifier, Losses, Method
from cocoop.training import replay
from cocoop.training.optimizer import State, optimizer_of, restore, set_rate, state_of
from cocoop.training.scaling import SeedScaler, of_others
from cocoop.training.schedule import Schedule, shuffled

Order = Callable[[int, int, int], Tensor]
Row = dict[str, int | float]
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Progress:
    """The state that a training needs to continue.

    Attributes:
        epochs: number of completed epochs.
        optimizer: state of the optimizer.
        scaler: state of the loss scaling.
        history: a row per seed and epoch with the columns of history.csv.
        seconds: duration of the completed epochs over all attempts.
    """

    epochs: int = 0
    optimizer: State = field(default_factory=dict)
    scaler: dict[str, list[float]] = field(default_factory=dict)
    history: list[Row] = field(default_factory=list)
    seconds: float = 0.0


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """The autocast context for bf16 and fp16; no effect for fp32 and reference-fp16."""
    dtype = AUTOCAST.get(precision)
    return torch.autocast(device.type, dtype) if dtype else nullcontext()


@dataclass
class Trainer:
    """Trains a method's tensors in place.

    Attributes:
        method: the method to train.
        classifier: its classifier for the training classes.
        images: the training data.
        training: settings of the training.
        precision: precision of the backbone.
        order: the order of images in an epoch.
        where: name of the training for messages.
    """

    method: Method
    classifier: Classifier
    images: TrainingImages
    training: TrainingSpec
    precision: str = "fp32"
    order: Order = shuffled
    where: str = "training"

    def __post_init__(self) -> None:
        self.device = self.images.labels.device
        self.schedule = Schedule(self.training, self.images.source.images)
        self.optimizer = optimizer_of(self.method, self.training)
        self.scaler = self._scaler({}) if self.precision == "fp16" else None
        self.parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.gradients: replay.Compute = self._gradients

    def _scaler(self, state: dict[str, list[float]]) -> SeedScaler:
        return SeedScaler(self.method.seeds, self.device, state, self.where)

    def run(self, done: Progress | None = None, after_epoch: Callable[[Progress], Any] = lambda done: None) -> Progress:
        """Trains to the end. done: the state to continue from; after_epoch: called with the state after each epoch.

        Raises UserError for a loss that is not finite.
        """
        done, schedule = done or Progress(), self.schedule
        if done.epochs:
            restore(self.optimizer, done.optimizer)
            self.scaler = self.scaler and self._scaler(done.scaler)
        self.method.train()
        first = done.epochs
        with (
            progress.bar(
                schedule.steps, self.where, "step", initial=min(schedule.steps, first * schedule.per_epoch)
            ) as bar,
            seeded(self.device),
        ):
            for epoch in range(first, schedule.epochs):
                losses, hits = [], []
                self._restart(epoch)
                for step, batch in enumerate(self._batches(epoch)):
                    set_rate(self.optimizer, schedule.rate(epoch, step), schedule.warming_up(epoch))
                    if (epoch, step) == (first, 0):
                        terms, hit = deterministic(partial(self._first, epoch, batch), self.where)
                        self.replay_steps()
                    else:
                        terms, hit = self.step(batch)
                    losses.append(terms)
                    hits.append(hit)
                    bar.update()
                self.method.after_epoch(epoch, schedule.epochs)
                if self.images.validation:
                    with torch.no_grad():
                        self.method.select(*self.images.validation, epoch, schedule.epochs)
                self._record(done, epoch, losses, hits)
                done.optimizer = state_of(self.optimizer)
                if self.scaler:
                    done.scaler = self.scaler.after_epoch(epoch, epoch + 1 == schedule.epochs)
                after_epoch(done)
        self.method.eval()
        return done

    def _restart(self, epoch: int) -> None:
        """Restarts the random numbers, so that those of an epoch do not depend on earlier epochs and a training can continue."""
        reseed(self.device, "epoch", self.method.seeds, epoch)
        self.method.noise.restart("epoch", epoch)

    def _first(self, epoch: int, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """The first step, which may run twice, with the same random numbers."""
        self._restart(epoch)
        return self.step(batch)

    def _batches(self, epoch: int) -> Iterator[Batch]:
        images, seeds, size = self.images, self.method.seeds, self.training.batch_size
        steps, dtype = self.schedule.steps_of(epoch), self.method.text.dtype
        rows = torch.arange(len(seeds), device=self.device)[:, None]
        visit = torch.stack([self.order(seed, epoch, images.source.images) for seed in seeds]).to(self.device)  # (S, N)
        frozen, second = (
            kept.batches(epoch, visit, size, steps) if kept and kept is not images.source else repeat(None, steps)
            for kept in (images.frozen, images.second)
        )
        inputs = images.source.batches(epoch, visit, size, steps)
        for step, (x, *beside) in enumerate(zip(inputs, frozen, second, strict=True)):
            x, labels = x.to(dtype), images.labels[rows, visit[:, step * size : (step + 1) * size]]  # (S, B)
            same, other = (features if features is None else features.to(dtype) for features in beside)
            yield Batch(x, labels, x if images.frozen is images.source else same, other)

    def step(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """One update; returns each seed's losses and accuracy (S,) without waiting for the device."""
        replay.forget(self.parameters)
        if self.scaler:
            losses, hits = self._forward(batch)
            self.scaler.step(self.method, losses, self.optimizer)
            return _detached(losses), hits
        found = self.gradients(batch)
        self.optimizer.step()
        return found

    def _forward(self, batch: Batch) -> replay.Outcome:
        with autocast(self.precision, self.device):
            logits, losses = self.method.losses(self.classifier, batch)
        return losses, (logits.detach().argmax(-1) == batch.labels).mean(1, dtype=torch.float32)

    def _gradients(self, batch: Batch) -> replay.Outcome:
        losses, hits = self._forward(batch)
        self.method.backward(losses)
        return _detached(losses), hits

    def replay_steps(self) -> None:
        """After the first step, replays those of which everything can be recorded."""
        if replay.possible(self.method, self.device, self.images.validation is not None):
            self.gradients = replay.Replayed(self._gradients, self.parameters, self.where)

    def _record(self, done: Progress, epoch: int, losses: list[dict[str, Tensor]], hits: list[Tensor]) -> None:
        """Records an epoch. The loop waits for the device only here and in the scaler's `after_epoch`."""
        terms = {name: torch.stack([each[name] for each in losses]).double().cpu() for name in losses[0]}  # (steps, S)
        total, accuracy = torch.stack(list(terms.values())).sum(0), torch.stack(hits).double().cpu()
        seeds = self.method.seeds
        for step, values in enumerate(total.tolist()):
            for seed, value in zip(seeds, values, strict=True):
                if not math.isfinite(value):
                    raise UserError(
                        f"{self.where}: the loss of seed {seed} is {value} in epoch {epoch + 1}, step {step + 1}; "
                        "training stopped. Look at the features, or take a smaller lr or precision fp32."
                        + of_others(seeds)
                    )
        columns = {"loss": total, "accuracy": accuracy} | (terms if len(terms) > 1 else {})
        rate = self.schedule.rate(epoch, len(losses) - 1)
        for i, seed in enumerate(seeds):
            means = {name: float(values[:, i].mean()) for name, values in columns.items()}
            done.history.append({"seed": seed, "epoch": epoch + 1, "lr": rate} | means)
        done.epochs = epoch + 1


def _detached(losses: Losses) -> Losses:
    return {name: loss.detach().float() for name, loss in losses.items()}
