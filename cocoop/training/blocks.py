"""Which seeds of a run are computed in one batch: all of them, unless something forbids it; then one after another."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from cocoop.images.cached import digest
from cocoop.images.inputs import TrainingImages, Unequal
from cocoop.methods.base import Task
from cocoop.run import Run

Block = tuple[Run, TrainingImages]
"""Seeds that can be computed in one batch, as a run of their own, and their images."""


def blocks_of(run: Run, load: Callable[[Run], TrainingImages]) -> list[Block]:
    """The run with its images; or each seed with its own, if the seeds have different numbers of images.

    They differ if the held-out images have different numbers of copies, if label noise leaves a different number of classes with
    an image to spare, or if imported draws differ in size.
    """
    try:
        return [(run, load(run))]
    except Unequal:
        return [(alone, load(alone)) for alone in _alone(run)]


def made_of(run: Run, blocks: Sequence[Block]) -> dict[str, Any]:
    """How the images of all blocks were made (`TrainingImages.made`)."""
    made = [images.made for _, images in blocks]
    return made[0] if len(made) == 1 else made[0] | {"views": digest(run, [of["views"] for of in made])}


def parts_of(blocks: Sequence[Block], task: Task, together: bool) -> Iterator[tuple[Run, TrainingImages, Task]]:
    """The run, images and task of each block; or of each seed, unless the seeds of a block are computed together."""
    for run, images in blocks:
        if together:
            yield run, images, replace(task, seeds=run.seeds)
            continue
        for index, alone in enumerate(_alone(run)):
            yield alone, images.of_seed(index), replace(task, seeds=alone.seeds)


def alike(tensors: Mapping[str, Tensor], seeds: Sequence[int]) -> bool:
    """Whether the learned tensors of all seeds have the same shapes, so that one method can hold them."""
    shapes = []
    for of in (f"seed{seed}." for seed in seeds):
        shapes.append({name.removeprefix(of): kept.shape for name, kept in tensors.items() if name.startswith(of)})
    return all(own == shapes[0] for own in shapes)


def _alone(run: Run) -> Iterator[Run]:
    """Each seed of a run as a run of its own."""
    for index, seed in enumerate(run.seeds):
        yield replace(run, seeds=(seed,), draw=run.draw.of_seed(index))
