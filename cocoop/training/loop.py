"""The training loop: S seeds of one variant at once, by SGD on cached image features."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop import progress
from cocoop.config.specs import TrainingSpec
from cocoop.device import deterministic
from cocoop.errors import UserError
from cocoop.images.cached import Cached
from cocoop.images.inputs import Source
from cocoop.methods.base import Classifier, Method
from cocoop.training.scaling import SeedScaler, of_others
from cocoop.training.schedule import batches, learning_rate, shuffled

Order = Callable[[int, int, int], Tensor]
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Progress:
    """What a training must remember to continue: epochs done, optimizer state, history rows (seed, epoch, lr, loss, accuracy).

    seconds: what the epochs done took, over all attempts.
    """

    epochs: int = 0
    momentum: dict[str, Tensor] = field(default_factory=dict)
    scaler: dict[str, list[float]] = field(default_factory=dict)
    history: list[tuple[int, int, float, float, float]] = field(default_factory=list)
    seconds: float = 0.0


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """The autocast region of bf16 and fp16; nothing for fp32 and reference-fp16."""
    dtype = AUTOCAST.get(precision)
    return torch.autocast(device.type, dtype) if dtype else nullcontext()


def fit(
    method: Method,
    classifier: Classifier,
    images: Source | Tensor,
    labels: Tensor,
    training: TrainingSpec,
    *,
    precision: str = "fp32",
    order: Order = shuffled,
    done: Progress | None = None,
    after_epoch: Callable[[Progress], Any] = lambda done: None,
    where: str = "training",
) -> Progress:
    """Trains the method's tensors in place by mean cross-entropy (coop.py:273, cocoop.py:192).

    images: N of each seed, or their cached features (S, V, N, E); labels: (S, N) inside the subset; order: which an epoch visits.
    done: where to continue. after_epoch is called with the state after each epoch. Raises UserError for a loss that is not finite.
    """
    done, images = done or Progress(), Cached(images) if isinstance(images, Tensor) else images
    optimizer = _optimizer(method, training, done)
    scaler = SeedScaler(method.seeds, labels.device, done.scaler, where) if precision == "fp16" else None
    seeds, size = method.seeds, training.batch_size
    steps, first = batches(images.images, size), (done.epochs, 0)
    rows = torch.arange(len(seeds), device=labels.device)[:, None]
    with progress.bar(training.epochs * steps, where, "step", initial=done.epochs * steps) as bar:
        for epoch in range(done.epochs, training.epochs):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(training, epoch)
            visit = torch.stack([order(seed, epoch, images.images) for seed in seeds]).to(labels.device)  # (S, N)
            losses, hits = [], []
            for step, batch in enumerate(images.batches(epoch, visit, size, steps)):
                target = labels[rows, visit[:, step * size : (step + 1) * size]]  # (S, B)
                run = partial(update, method, classifier, optimizer, scaler, batch, target, precision)
                loss, hit = deterministic(run, where) if (epoch, step) == first else run()
                losses.append(loss)
                hits.append(hit)
                bar.update()
            _record(done, method, epoch, torch.stack(losses), torch.stack(hits), optimizer.param_groups[0]["lr"], where)
            done.momentum = _momentum(method, optimizer)
            if scaler:
                done.scaler = scaler.after_epoch(epoch, epoch + 1 == training.epochs)
            after_epoch(done)
    return done


def update(method, classifier, optimizer, scaler, image, target, precision) -> tuple[Tensor, Tensor]:
    """One update; returns each seed's loss and accuracy (S,) without waiting for the device. scaler: fp16's, or None."""
    with autocast(precision, image.device):
        logits = classifier(image.to(method.text.dtype))  # (S, B, C)
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view_as(target).mean(1)
    optimizer.zero_grad(set_to_none=True)
    if scaler:
        scaler.step(loss, optimizer)
    else:
        loss.sum().backward()
        optimizer.step()
    return loss.detach().float(), (logits.detach().argmax(-1) == target).float().mean(1)


def _optimizer(method: Method, training: TrainingSpec, done: Progress) -> torch.optim.SGD:
    optimizer = torch.optim.SGD(method.parameters(), training.lr, training.momentum, weight_decay=training.weight_decay)
    for name, parameter in method.named_parameters():
        if name in done.momentum:
            optimizer.state[parameter]["momentum_buffer"] = done.momentum[name].to(parameter)
    return optimizer


def _momentum(method: Method, optimizer: torch.optim.SGD) -> dict[str, Tensor]:
    """Momentum by parameter; empty without momentum."""
    found = {name: optimizer.state[p].get("momentum_buffer") for name, p in method.named_parameters()}
    return {name: buffer for name, buffer in found.items() if buffer is not None}


def _record(done: Progress, method: Method, epoch: int, losses: Tensor, hits: Tensor, lr: float, where: str) -> None:
    """losses, hits: (steps, S). Here and in the scaler's `after_epoch` the loop waits for the device, nowhere else."""
    losses, hits = losses.double().cpu(), hits.double().cpu()
    for step, values in enumerate(losses.tolist()):
        for seed, value in zip(method.seeds, values, strict=True):
            if not math.isfinite(value):
                raise UserError(
                    f"{where}: the loss of seed {seed} is {value} in epoch {epoch + 1}, step {step + 1}; "
                    "training stopped. Look at the features, or take a smaller lr or precision fp32."
                    + of_others(method.seeds)
                )
    for i, seed in enumerate(method.seeds):
        done.history.append((seed, epoch + 1, lr, float(losses[:, i].mean()), float(hits[:, i].mean())))
    done.epochs = epoch + 1
