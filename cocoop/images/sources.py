"""Where a training takes its images from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor


class Source(Protocol):
    """N images of each of S seeds."""

    images: int
    device: torch.device

    def batches(self, epoch: int, visit: Tensor, size: int, steps: int) -> Iterator[Tensor]:
        """The inputs (S, B, ...) of each step of an epoch that visits images in the order `visit` (S, N)."""


class Cached:
    """Image features (S, V, N, E); epoch e sees view e mod V."""

    def __init__(self, features: Tensor) -> None:
        self.features, self.images, self.device = features, features.shape[2], features.device
        self.rows = torch.arange(len(features), device=features.device)[:, None]

    def batches(self, epoch: int, visit: Tensor, size: int, steps: int) -> Iterator[Tensor]:
        """Features (S, B, E)."""
        view = self.features[:, epoch % self.features.shape[1]]
        for step in range(steps):
            yield view[self.rows, visit[:, step * size : (step + 1) * size]]


@dataclass(frozen=True)
class ImageFiles:
    """Where a stage finds images that it decodes itself. fewshot: one selection per seed, none for testing."""

    manifest: Path
    root: Path
    workers: int = 0
    fewshot: Sequence[Path] = ()
