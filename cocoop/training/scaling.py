"""Loss scaling of fp16 for several seeds: like torch's GradScaler, but an overflow in one seed does not affect the others.

torch has one scale for all parameters and skips the step for all of them. Here, the parameters of S seeds are stacked, and every
seed has a scale. After an overflow, a seed keeps its parameters and the optimizer's tensors, while the other seeds make a step.
All seeds share the step counter of Adam, which also counts skipped steps, whether a seed trains alone or with others.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from cocoop.errors import UserError
from cocoop.methods.base import Losses, Method

logger = logging.getLogger(__name__)
FIRST_SCALE = 1024.0  # torch's initial 65,536 overflows, and every overflow skips a step
GOOD_STEPS = 2000  # consecutive steps before a scale doubles; an overflow halves it (torch/amp/grad_scaler.py)
LARGEST_SCALE = 2.0**127  # the next power of two is not a float32

State = Mapping[str, Sequence[float]]


class SeedScaler:
    """Loss scales of the seeds of a training whose parameters have S as their first dimension.

    scale (S,): powers of two, so that scaling does not round.
    good (S,): steps since the scale changed.
    updates (S,): total number of steps that were not skipped.
    state: result of `state`, to continue.
    where: name of the training for messages.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device, state: State | None = None, where: str = "") -> None:
        none = [0] * len(seeds)
        self.seeds, self.where = tuple(seeds), where
        self.known: dict[str, Any] = dict(state or {"scale": [FIRST_SCALE] * len(seeds), "good": none, "updates": none})
        self.scale = torch.tensor(self.known["scale"], dtype=torch.float32, device=device)
        self.good, self.updates = (torch.tensor(self.known[key], device=device) for key in ("good", "updates"))

    def step(self, method: Method, losses: Losses, optimizer: torch.optim.Optimizer) -> None:
        """Backward pass and one step of each seed with finite gradients, without waiting for the device."""
        method.backward({name: self.scale * loss for name, loss in losses.items()})
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        for parameter in parameters:
            parameter.grad /= _beside(self.scale, parameter)
        finite = torch.stack([p.grad.isfinite().reshape(len(p), -1).all(1) for p in parameters]).all(0)  # (S,)
        before = [_state(optimizer, parameter) for parameter in parameters]
        optimizer.step()
        for parameter, old in zip(parameters, before, strict=True):
            for name, value in _state(optimizer, parameter, copy=False).items():
                value.copy_(torch.where(_beside(finite, value), value, old.get(name, 0)))  # all begin at 0
        self._learn(finite)

    def _learn(self, finite: Tensor) -> None:
        good = torch.where(finite, self.good + 1, 0)
        grown = good == GOOD_STEPS
        larger = torch.where(grown, 2 * self.scale, self.scale).clamp(max=LARGEST_SCALE)
        self.scale = torch.where(finite, larger, self.scale / 2)
        self.good = torch.where(grown, 0, good)
        self.updates = self.updates + finite

    def state(self) -> dict[str, list[float]]:
        """The state for a checkpoint. Waits for the device."""
        return {"scale": self.scale.tolist(), "good": self.good.tolist(), "updates": self.updates.tolist()}

    def after_epoch(self, epoch: int, last: bool) -> dict[str, list[float]]:
        """The state after an epoch (from 0); logs seeds without any update in it. Waits for the device.

        Raises a UserError if a seed cannot train: even unscaled gradients overflow, or the training ends without an update.
        """
        before, self.known = self.known["updates"], self.state()
        for seed, scale, old, new in zip(self.seeds, self.known["scale"], before, self.known["updates"], strict=True):
            if old == new:
                said = (
                    f"{self.where}: seed {seed} made no update in epoch {epoch + 1}, "
                    f"its gradients overflow fp16; its loss scale is now {scale:g}"
                )
                if scale < 1 or (last and not new):
                    raise UserError(f"{said}. Training stopped; take precision bf16 or fp32.{of_others(self.seeds)}")
                logger.warning("%s and falls until they fit", said)
        return self.known


def of_others(seeds: Sequence[int]) -> str:
    """Advice for the message if one of several seeds stops the training."""
    return " With seeds_per_job: 1 the other seeds train without it." if len(seeds) > 1 else ""


def _state(optimizer: torch.optim.Optimizer, parameter: Tensor, copy: bool = True) -> dict[str, Tensor]:
    """Tensors that a step changes: the parameter's values, and the optimizer's tensors of its shape, if there are any."""
    kept = optimizer.state[parameter].items()
    found = {"value": parameter.detach()} | {
        name: value for name, value in kept if torch.is_tensor(value) and value.shape == parameter.shape
    }
    return {name: tensor.clone() if copy else tensor for name, tensor in found.items()}


def _beside(of_seeds: Tensor, tensor: Tensor) -> Tensor:
    """(S,) as (S, 1, ...), to broadcast with `tensor`."""
    return of_seeds.view(-1, *[1] * (tensor.ndim - 1))
