"""Random numbers of a step: each seed has a separate stream, so that it draws the same numbers with and without other seeds."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cocoop.device import number_of


class Noise:
    """One stream of random numbers per seed.

    The training loop restarts all streams in every epoch, and the evaluation before every list of classes, so that a continued
    training and a repeated evaluation draw the same numbers.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self.seeds, self.device = tuple(seeds), device
        self.restart("start")

    def restart(self, *moment: object) -> None:
        """Restarts the streams with seeds derived from `moment` (JSON values)."""
        self.moment, self.drawn = moment, 0
        self.streams: list[torch.Generator] = []

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers (S, *shape)."""
        return torch.stack([torch.randn(shape, generator=g, device=self.device) for g in self._streams()])

    def uniform(self, *shape: int) -> Tensor:
        """Numbers (S, *shape) from [0, 1)."""
        return torch.stack([torch.rand(shape, generator=g, device=self.device) for g in self._streams()])

    def numbers(self) -> list[int]:
        """A new seed for a generator of each seed, for random numbers that must be drawn again in the backward pass."""
        self.drawn += 1
        return [number_of("noise", seed, *self.moment, self.drawn) for seed in self.seeds]

    def _streams(self) -> list[torch.Generator]:
        if not self.streams:
            self.streams = [
                torch.Generator(self.device).manual_seed(number_of("noise", seed, *self.moment)) for seed in self.seeds
            ]
        return self.streams


class SeedDropout(nn.Module):
    """Dropout of (S, ...) with a separate mask for every seed, from the method's noise."""

    def __init__(self, noise: Noise, p: float) -> None:
        super().__init__()
        self.noise, self.p = noise, p

    def forward(self, x: Tensor) -> Tensor:
        """(S, ...) -> (S, ...)."""
        if not self.training or not self.p:
            return x
        return x * (self.noise.uniform(*x.shape[1:]) >= self.p) / (1 - self.p)
