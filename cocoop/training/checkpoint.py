"""The state of a training on disk, so that an interrupted one continues where it was.

The checkpoint of the last epoch stays: when a group of jobs fails as a whole, its finished trainings are done again in no time.
"""

import time
from pathlib import Path

import torch

from cocoop import io
from cocoop.errors import UserError
from cocoop.methods.base import Method
from cocoop.training.loop import Progress

KIND = "checkpoint"
SECONDS_BETWEEN = 30.0


class Keeper:
    """Writes a checkpoint after an epoch when the last one is old enough, and after the last epoch.

    fingerprint: of everything that decides the training; epochs: in all; start: when the training began on the clock of
    `time.perf_counter`, with the time of earlier attempts taken off.
    """

    def __init__(self, method: Method, path: Path, fingerprint: str, epochs: int, start: float | None = None) -> None:
        self.method, self.path, self.fingerprint, self.epochs = method, path, fingerprint, epochs
        self.start = time.perf_counter() if start is None else start
        self.written = time.monotonic()

    def __call__(self, done: Progress) -> None:
        done.seconds = time.perf_counter() - self.start
        if done.epochs != self.epochs and time.monotonic() - self.written < SECONDS_BETWEEN:
            return
        tensors = {f"parameter.{name}": tensor for name, tensor in self.method.named_parameters()}
        tensors |= {f"momentum.{name}": tensor for name, tensor in done.momentum.items()}
        state = {"epochs": done.epochs, "scaler": done.scaler, "history": done.history, "seconds": done.seconds}
        io.write_tensors(self.path, tensors, {"kind": KIND, "fingerprint": self.fingerprint} | state)
        self.written = time.monotonic()


@torch.no_grad()
def resume(method: Method, path: Path, fingerprint: str) -> Progress:
    """The state of an interrupted training with the same fingerprint; a fresh one if there is none."""
    if not path.exists():
        return Progress()
    try:
        tensors, metadata = io.read_tensors(path, KIND)
    except UserError:
        return Progress()
    if metadata["fingerprint"] != fingerprint:
        return Progress()
    for name, parameter in method.named_parameters():
        parameter.copy_(tensors[f"parameter.{name}"])
    momentum = {name.removeprefix("momentum."): t for name, t in tensors.items() if name.startswith("momentum.")}
    history = [tuple(row) for row in metadata["history"]]
    return Progress(metadata["epochs"], momentum, metadata["scaler"], history, metadata["seconds"])
