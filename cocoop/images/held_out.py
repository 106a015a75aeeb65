"""Training images held out to choose hyper-parameters on, where a dataset has no validation images or none shall be used."""

from dataclasses import replace

import torch
from torch import Tensor

from cocoop.device import number_of
from cocoop.errors import UserError
from cocoop.images.cached import Cached
from cocoop.images.inputs import TrainingImages, stacked


def hold_one_out(images: TrainingImages, plain: Tensor, seeds: tuple[int, ...], originals: Tensor) -> TrainingImages:
    """One random image of each class moves, with all its copies, from the training images to the validation images.

    plain: features (S, N, E) of the training images without augmentation, which the held-out images keep.
    seeds: each draws its own images.
    originals: for each image, the place of its first copy (S, N); its own if it has no other.
    A class with a single image keeps it for training. Raises a UserError if that leaves nothing to hold out, and Unequal if
    it leaves the seeds with different numbers of images.
    """
    assert isinstance(images.source, Cached)
    held = [_drawn(*own) for own in zip(images.labels.cpu(), originals, seeds, strict=True)]  # S of (N,)
    if empty := [seed for one, seed in zip(held, seeds, strict=True) if not one.any()]:
        raise UserError(
            f"selection: hold_one_out: no class has two images in the draw of seed {empty[0]}; take more shots, or another "
            "selection."
        )
    rest, out = _places([~one for one in held]).to(plain.device), _places(held).to(plain.device)  # (S, N - Nv), (S, Nv)
    source = Cached(torch.take_along_dim(images.source.features, rest[:, None, :, None], 2))
    second = source.second() if images.second else None
    validation = torch.take_along_dim(plain, out[..., None], 1), images.labels.gather(1, out)
    labels = images.labels.gather(1, rest)
    return replace(images, source=source, frozen=source, second=second, labels=labels, validation=validation)


def _drawn(labels: Tensor, originals: Tensor, seed: int) -> Tensor:
    """Which of the images (N,) are held out: the first of its class in a random order, if each class keeps others."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(number_of("hold_one_out", seed)))
    first: dict[int, int] = {}
    for place in order.tolist():
        first.setdefault(int(labels[place]), place)
    held = torch.zeros(len(labels), dtype=torch.bool)
    for place in first.values():
        copies = originals == originals[place]
        if all((labels[~(held | copies)] == label).any() for label in labels[copies].unique()):
            held |= copies
    return held


def _places(masks: list[Tensor]) -> Tensor:
    """Where the mask (N,) of each seed is true, (S, n)."""
    return stacked([mask.nonzero()[:, 0] for mask in masks])
