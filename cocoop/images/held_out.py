"""Training images held out to choose hyper-parameters on, where a dataset has no validation images or none shall be used."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from cocoop.device import number_of
from cocoop.errors import UserError
from cocoop.images.cached import Cached
from cocoop.images.inputs import TrainingImages


def hold_one_out(images: TrainingImages, plain: Tensor, seeds: tuple[int, ...]) -> TrainingImages:
    """One random image of each class moves from the training images to the validation images.

    plain: features (S, N, E) of the training images without augmentation, which the held-out images keep.
    seeds: each draws its own images.
    A class with a single image keeps it for training. Raises a UserError if that leaves nothing to hold out.
    """
    assert isinstance(images.source, Cached)
    held = torch.stack([_drawn(own, seed) for own, seed in zip(images.labels.cpu(), seeds, strict=True)])  # (S, N)
    held = held.to(plain.device)
    if not held.any():
        raise UserError("selection: hold_one_out: no class has two images; take more shots, or another selection.")
    rest, out = _positions(~held), _positions(held)  # (S, N - Nv), (S, Nv)
    source = Cached(torch.take_along_dim(images.source.features, rest[:, None, :, None], 2))
    validation = torch.take_along_dim(plain, out[..., None], 1), images.labels.gather(1, out)
    return replace(images, source=source, frozen=source, labels=images.labels.gather(1, rest), validation=validation)


def _drawn(labels: Tensor, seed: int) -> Tensor:
    """Which of the images (N,) are held out: the first of its class in a random order, if the class has others."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(number_of("hold_one_out", seed)))
    _, first, count = np.unique(labels[order].numpy(), return_index=True, return_counts=True)
    held = torch.zeros(len(labels), dtype=torch.bool)
    held[order[first[count > 1]]] = True
    return held


def _positions(mask: Tensor) -> Tensor:
    """Where a mask (S, N) with equally many True in every row is True: (S, n)."""
    return mask.nonzero()[:, 1].view(len(mask), -1)
