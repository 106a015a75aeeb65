"""Typed values of the experiment files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cocoop.config.draw import COOP, SYMMETRIC, Draw
from cocoop.config.measures import OF_BOTH


@dataclass(frozen=True)
class ExperimentSpec:
    """A named grid of runs and evaluations with its table and figure: one file of config/experiments.

    targets: the datasets tested on; empty for the dataset trained on. reference: the variant that the others are compared
    with, which may be missing from `variants`. draws, label_noise, imbalance, class_shots, drawn_like: how the few-shot images
    are drawn and labelled (`Draw`). halves: numbers of the class halves, 0 for the first and the second half. measures: those
    shown in tables beside the accuracy; paper_measures: published tables of them.
    """

    name: str
    title: str
    table: str
    caption: str
    paper: str | None
    reference: str | None
    variants: tuple[str, ...]
    train_datasets: tuple[str, ...]
    train_subset: str
    shots: tuple[int, ...]
    targets: tuple[str, ...]
    target_subsets: tuple[str, ...]
    draws: str | None = None
    label_noise: Mapping[str, Any] = field(default_factory=dict)
    imbalance: tuple[float, ...] = (1,)
    class_shots: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    drawn_like: str = COOP
    halves: tuple[int, ...] = (0,)
    measures: tuple[str, ...] = ()
    paper_measures: tuple[str, ...] = ()

    @property
    def together(self) -> bool:
        """Whether one of its measures needs each image classified among the classes of both halves."""
        return bool(set(self.measures) & set(OF_BOTH))

    def draws_on(self, dataset: str) -> list[Draw]:
        """The draws of few-shot images of a dataset, without those of files, in the order of noise and imbalance."""
        kind, single = self.label_noise.get("kind", SYMMETRIC), tuple(sorted(self.class_shots.get(dataset, {}).items()))
        return [
            Draw(noise=rate, noise_kind=kind, imbalance=ratio, class_shots=single, like=self.drawn_like)
            for ratio in self.imbalance
            for rate in self.label_noise.get("rates", (0.0,))
        ]
