"""Replays training steps: a GPU runs the operations of a recorded step again, without Python launching each of them.

A CUDA graph is recorded once for each shape of a batch, and holds what the host decided then. So only steps are recorded whose
host decides nothing from step to step: those of methods without random numbers, changes after an epoch, or selection, on plain
tensors. Each recording must give the losses and gradients of an ordinary step; otherwise steps go on without it.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cocoop.methods.base import Batch, Losses, Method

logger = logging.getLogger(__name__)
SWITCH = "COCOOP_REPLAY"  # 0: launch every operation
WARM_UP = 3  # steps before a recording, in which libraries choose their algorithms (torch.cuda.graphs)
MOST_SHAPES = 2  # complete batches, and the last one of an epoch
DIFFERENCE = 1e-3  # relative, between a recording and an ordinary step: the order of sums may differ
Outcome = tuple[Losses, Tensor]
"""Losses (S,) by name, and accuracy (S,)."""
Compute = Callable[[Batch], Outcome]
"""The forward and backward pass of a step, which leaves gradients in the learned tensors."""
Record = Callable[[Compute, Batch, Sequence[nn.Parameter]], tuple[Callable[[], Any], Outcome]]
"""Runs a step on a batch and returns a function that repeats it, and the outcome; both always use the same memory."""


def possible(method: Method, device: torch.device, selects: bool) -> bool:
    """Whether the steps of a method may be recorded, after its first one. selects: whether it selects on validation images."""
    if device.type != "cuda" or os.environ.get(SWITCH) == "0" or selects:
        return False
    return type(method).after_epoch is Method.after_epoch and not method.noise.streams and not method.noise.drawn


def on_gpu(compute: Compute, batch: Batch, parameters: Sequence[nn.Parameter]) -> tuple[Callable[[], Any], Outcome]:
    """Records a step as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            forget(parameters)
            compute(batch)
    torch.cuda.current_stream().wait_stream(stream)
    forget(parameters)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outcome = compute(batch)
    return graph.replay, outcome


@dataclass
class Recording:
    """A recorded step, and the memory of its batch, outcome and gradients."""

    again: Callable[[], Any]
    batch: Batch
    outcome: Outcome
    gradients: list[Tensor | None]

    def run(self, batch: Batch, parameters: Sequence[nn.Parameter]) -> Outcome:
        """The step on a batch of the recorded shape."""
        for kept, new in zip(self.batch, batch, strict=True):
            if kept is not None and new is not None:
                kept.copy_(new)
        self.again()
        for parameter, gradient in zip(parameters, self.gradients, strict=True):
            parameter.grad = gradient
        losses, hits = self.outcome
        return {name: loss.clone() for name, loss in losses.items()}, hits.clone()


class Replayed:
    """A step's computation that is recorded for each shape of batches, and replayed from then on."""

    def __init__(
        self, compute: Compute, parameters: Sequence[nn.Parameter], where: str, record: Record = on_gpu
    ) -> None:
        self.compute, self.parameters, self.where, self.record = compute, parameters, where, record
        self.recordings: dict[tuple, Recording] = {}
        self.given_up = False

    def __call__(self, batch: Batch) -> Outcome:
        shapes = tuple(each.shape if torch.is_tensor(each) else each is None for each in batch)
        if shapes not in self.recordings and not self.given_up and len(self.recordings) < MOST_SHAPES:
            self._try(shapes, batch)
            forget(self.parameters)
        recording = self.recordings.get(shapes)
        return recording.run(batch, self.parameters) if recording else self.compute(batch)

    def _try(self, shapes: tuple, batch: Batch) -> None:
        """Records a step and compares it with an ordinary one."""
        if False in shapes:  # other inputs than tensors
            self.given_up = True
            return
        try:
            kept = Batch(*(each if each is None else each.clone() for each in batch))  # type: ignore[arg-type]
            again, outcome = self.record(self.compute, kept, self.parameters)
        except RuntimeError as error:
            self._give_up(f"cannot be recorded ({str(error).strip().splitlines()[0]})")
            return
        recording = Recording(again, kept, outcome, [parameter.grad for parameter in self.parameters])
        found = self._numbers(recording.run(batch, self.parameters))
        forget(self.parameters)
        if _agree(self._numbers(self.compute(batch)), found):
            self.recordings[shapes] = recording
        else:
            self._give_up("gave other numbers when one was replayed")

    def _numbers(self, outcome: Outcome) -> list[Tensor]:
        """Copies of the losses and gradients of a step."""
        gradients = [parameter.grad.clone() for parameter in self.parameters if parameter.grad is not None]
        return [*outcome[0].values(), *gradients]

    def _give_up(self, why: str) -> None:
        self.given_up = True
        logger.info("%s: its steps %s; each operation is launched instead", self.where, why)


def forget(parameters: Sequence[nn.Parameter]) -> None:
    """Drops gradients."""
    for parameter in parameters:
        parameter.grad = None


def _agree(expected: Sequence[Tensor], found: Sequence[Tensor]) -> bool:
    """Whether two steps have the same numbers, up to rounding. Waits for the device."""
    pairs = list(zip(expected, found, strict=True)) if len(expected) == len(found) else []
    return bool(pairs) and all(bool((a - b).norm() <= DIFFERENCE * a.norm()) for a, b in pairs)
