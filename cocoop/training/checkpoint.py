"""The state of a training on disk, so that an interrupted training can continue.

The checkpoint of the last epoch is kept, so that finished trainings of a failed Slurm group are restored, not repeated.
"""

import time
from pathlib import Path
from typing import Any

import torch

from cocoop import io
from cocoop.errors import UserError
from cocoop.methods.base import Method
from cocoop.training.loop import Progress
from cocoop.training.optimizer import State

KIND = "checkpoint"
SECONDS_BETWEEN = 30.0


class Keeper:
    """Writes a checkpoint after an epoch if the last one is old enough, and after the last epoch.

    fingerprint: digest of everything that affects the training.
    epochs: total number of epochs.
    start: start time of the training on the clock of `time.perf_counter`, minus the duration of earlier attempts.
    """

    def __init__(self, method: Method, path: Path, fingerprint: str, epochs: int, start: float | None = None) -> None:
        self.method, self.path, self.fingerprint, self.epochs = method, path, fingerprint, epochs
        self.start = time.perf_counter() if start is None else start
        self.written = time.monotonic()

    def __call__(self, done: Progress) -> None:
        done.seconds = time.perf_counter() - self.start
        if done.epochs != self.epochs and time.monotonic() - self.written < SECONDS_BETWEEN:
            return
        of_optimizer = [(f"{number}.{key}", v) for number, kept in done.optimizer.items() for key, v in kept.items()]
        tensors = self.method.learned()
        tensors |= {f"optimizer.{key}": value for key, value in of_optimizer if torch.is_tensor(value)}
        numbers = {key: value for key, value in of_optimizer if not torch.is_tensor(value)}
        state = {"epochs": done.epochs, "scaler": done.scaler, "history": done.history, "seconds": done.seconds}
        head = {"kind": KIND, "fingerprint": self.fingerprint, "optimizer": numbers}
        io.write_tensors(self.path, tensors, head | state)
        self.written = time.monotonic()


def resume(method: Method, path: Path, fingerprint: str) -> Progress:
    """The state of an interrupted training with the same fingerprint; a new state if there is none."""
    if not path.exists():
        return Progress()
    try:
        tensors, metadata = io.read_tensors(path, KIND)
    except UserError:
        return Progress()
    if metadata["fingerprint"] != fingerprint:
        return Progress()
    method.load_learned(tensors, str(path))
    optimizer: State = {}
    kept: dict[str, Any] = {
        key.removeprefix("optimizer."): v for key, v in tensors.items() if key.startswith("optimizer.")
    }
    for key, value in (kept | metadata["optimizer"]).items():
        number, _, name = key.partition(".")
        optimizer.setdefault(int(number), {})[name] = value
    return Progress(metadata["epochs"], optimizer, metadata["scaler"], metadata["history"], metadata["seconds"])
