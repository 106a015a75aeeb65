"""Decodes pictures and crops views from them, in processes of their own or in this one."""

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from cocoop.backbone.transforms import Preprocessing
from cocoop.data.images import open_on_white, open_rgb
from cocoop.errors import UserError


@dataclass(frozen=True)
class Task:
    """An image to decode (pasted onto white if so) and the keys of its views; without keys, the test transform is applied."""

    path: Path
    keys: tuple[int, ...] = ()
    on_white: bool = False

    @property
    def views(self) -> int:
        return max(1, len(self.keys))


Batch = Sequence[Task]
Shape = tuple[int, int, int, int]
AHEAD = 2  # batches that each process prepares, or has prepared, before they are needed


class Done(NamedTuple):
    """What happened to a batch: the message about an image that cannot be read, or None, and seconds of the two steps."""

    error: str | None
    decoding: float
    cropping: float


def fill(crops: np.ndarray, tasks: Batch, preprocessing: Preprocessing) -> Done:
    """Writes the crops of a batch into an array (n, 3, H, W) uint8. Each image is decoded once for all of its views."""
    at, decoding, cropping = 0, 0.0, 0.0
    for task in tasks:
        start = perf_counter()
        try:
            image = open_on_white(task.path) if task.on_white else open_rgb(task.path)
        except UserError as error:
            return Done(str(error), decoding, cropping)
        opened = perf_counter()
        if not task.keys:
            crops[at] = preprocessing.test(image)
        for number, key in enumerate(task.keys):
            crops[at + number] = preprocessing.view(image, key)
        at += task.views
        decoding, cropping = decoding + opened - start, cropping + perf_counter() - opened
    return Done(None, decoding, cropping)


class Decoder:
    """The crops of batches of tasks, made by `workers` processes or, if there are none, by this one.

    The processes start with the first batch and stay for further rounds. They write into memory that they share with this
    process, room for 2 `workers` + 1 batches, so crops are neither sent through a pipe nor copied. Each process holds one decoded
    picture at a time.

    where: named in the message if a process dies.
    decoding, cropping: seconds that the two steps took so far, summed over processes.
    """

    def __init__(self, preprocessing: Preprocessing, workers: int, where: str) -> None:
        self.preprocessing, self.workers, self.where = preprocessing, workers, where
        self.decoding = self.cropping = 0.0
        self.pool: _Pool | None = None

    def crops(self, batches: Sequence[Batch]) -> Iterator[np.ndarray]:
        """Yields the crops (n, 3, H, W) uint8 of each batch, in order; an array is overwritten when the next one is asked for.

        Raises a UserError for an image that cannot be read, and if a process dies. Only one round can run at a time.
        """
        if not batches:
            return
        sizes = [sum(task.views for task in batch) for batch in batches]
        largest = max(sizes), 3, self.preprocessing.size, self.preprocessing.size
        try:
            filled = self._in_processes(batches, largest) if self.workers else self._here(batches, largest)
            for size, (crops, done) in zip(sizes, filled, strict=True):
                if done.error:
                    raise UserError(done.error)
                self.decoding += done.decoding
                self.cropping += done.cropping
                yield crops[:size]
        except BaseException:
            self.pool = None  # ends its processes
            raise

    def _here(self, batches: Sequence[Batch], shape: Shape) -> Iterator[tuple[np.ndarray, Done]]:
        crops = np.empty(shape, np.uint8)
        for batch in batches:
            yield crops, fill(crops, batch, self.preprocessing)

    def _in_processes(self, batches: Sequence[Batch], shape: Shape) -> Iterator[tuple[np.ndarray, Done]]:
        workers = min(self.workers, len(batches))
        if self.pool is None or self.pool.workers < workers or len(self.pool.slots.crops[0]) < shape[0]:
            self.pool = None  # ends its processes before others start
            self.pool = _Pool(_Slots(self.preprocessing, (AHEAD * workers + 1, *shape)), workers)
        try:
            for slot, done in self.pool.round(batches):
                yield self.pool.slots.crops[slot], done
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise UserError(
                f"{self.where}: a process that decodes images died, perhaps out of memory; use fewer --workers."
            ) from error


def on_device(crops: np.ndarray, device: torch.device) -> torch.Tensor:
    """Crops as a tensor on a device. On a GPU it has its own copy, which arrives while the CPU goes on; else it has theirs."""
    pixels = torch.from_numpy(crops)
    return pixels.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else pixels


class _Slots(Dataset):
    """Shared memory for crops (slots, n, 3, H, W), which the processes of a DataLoader fill batch by batch.

    It is anonymous, unlike that of tensors, which is in /dev/shm, of which containers have little.
    """

    def __init__(self, preprocessing: Preprocessing, shape: tuple[int, int, int, int, int]) -> None:
        self.preprocessing = preprocessing
        self.crops = np.frombuffer(mmap.mmap(-1, prod(shape)), np.uint8).reshape(shape)

    def __getitem__(self, asked: tuple[int, Batch]) -> tuple[int, Done]:
        slot, batch = asked
        return slot, fill(self.crops[slot], batch, self.preprocessing)


class _Pool:
    """Processes that fill slots in turn.

    A DataLoader asks for AHEAD batches of each process in advance. With one slot more, none is filled while it is read.
    """

    def __init__(self, slots: _Slots, workers: int) -> None:
        self.slots, self.workers, self.asked = slots, workers, list[tuple[int, Batch]]()
        self.loader = DataLoader(
            slots, None, sampler=_Asked(self.asked), num_workers=workers, collate_fn=_as_it_is, prefetch_factor=AHEAD,
            multiprocessing_context="fork", persistent_workers=True,
        )  # fmt: skip

    def round(self, batches: Sequence[Batch]) -> Iterator[tuple[int, Done]]:
        self.asked[:] = [(number % len(self.slots.crops), batch) for number, batch in enumerate(batches)]
        return iter(self.loader)


class _Asked(Sampler):
    """The batches of a round with their slots."""

    def __init__(self, asked: list[tuple[int, Batch]]) -> None:
        self.asked = asked

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        return iter(self.asked)


def _as_it_is(done: Any) -> Any:
    return done
