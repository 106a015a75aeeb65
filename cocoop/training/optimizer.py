"""Optimizers by name, and their complete state in a form that a checkpoint can store."""

from typing import Any

import torch

from cocoop.config.specs import TrainingSpec
from cocoop.methods.base import Method

State = dict[int, dict[str, Any]]
"""Tensors and numbers by name, for each parameter's index."""
NAMES = ("sgd", "adam", "adamw")


def optimizer_of(method: Method, training: TrainingSpec) -> torch.optim.Optimizer:
    """The optimizer of a training for the method's parameter groups."""
    groups = method.parameter_groups()
    # foreach: one operation for all tensors, with the same results
    shared: dict[str, Any] = {"lr": training.lr, "weight_decay": training.weight_decay, "foreach": True}
    if training.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=training.momentum, **shared)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[training.optimizer]
    return kind(groups, betas=training.betas, eps=training.eps, **shared)


def set_rate(optimizer: torch.optim.Optimizer, rate: float, warming_up: bool = False) -> None:
    """Sets the learning rate of every group, multiplied by the group's `lr_scale`.

    The rate of the warm-up is that of all groups (Dassl lr_scheduler.py:35-54).
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * (1 if warming_up else group.get("lr_scale", 1))


def state_of(optimizer: torch.optim.Optimizer) -> State:
    """The complete state of the optimizer."""
    state = optimizer.state_dict()["state"]
    return {number: {k: v for k, v in kept.items() if v is not None} for number, kept in state.items()}


def restore(optimizer: torch.optim.Optimizer, state: State) -> None:
    """Restores the result of `state_of`."""
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
