"""The input files of trainings and evaluations, their contents, and the conditions that they must meet for a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from cocoop.errors import UserError
from cocoop.io import canonical_json
from cocoop.run import Run

if TYPE_CHECKING:
    from cocoop.backbone.model import Backbone

ALIKE = (
    "manifest",
    "preprocessing",
)  # must be equal in all view files of a run and in the test features of its dataset


class Unequal(Exception):
    """The seeds of a run have different numbers of images, so they cannot train in one batch."""


def stacked(of_seeds: Sequence[Tensor]) -> Tensor:
    """The tensors of each seed as one, (S, ...). Raises Unequal if they differ in shape, which those of one seed never do."""
    if len({tensor.shape for tensor in of_seeds}) > 1:
        raise Unequal
    return torch.stack(list(of_seeds))


@dataclass(frozen=True)
class TrainingFiles:
    """Paths of a training's inputs.

    Attributes:
        text_tower: the backbone's text_tower.safetensors.
        views: features of the training images, in the order of their epochs.
        validation: features of the validation draw, or of the training images without augmentation, for a run that selects.
        manifest: the dataset's manifest.json, for a method that takes images.
        fewshot: one selection per seed, for a method that takes images.
        root: the dataset's folder, for a method that takes images.
        workers: decoding processes, for a method that takes images.
        descriptions: sentences about each class, for a method that needs them.
        trained: the learned tensors of a run, to fit a temperature to.
    """

    text_tower: Path
    views: tuple[Path, ...] = ()
    validation: Path | None = None
    manifest: Path | None = None
    fewshot: tuple[Path, ...] = ()
    root: Path | None = None
    workers: int = 0
    descriptions: Path | None = None
    trained: Path | None = None


@dataclass(frozen=True)
class TestFiles:
    """Paths of an evaluation's inputs.

    Attributes:
        text_tower: the backbone's text_tower.safetensors.
        features: features of the target's test images.
        learned: the run's tensors; None for an untrained run.
        manifest: the target's current manifest; its features, and tensors learned on it, must be based on it.
        root: the target's folder, for a method that takes images.
        workers: decoding processes, for a method that takes images.
        descriptions: sentences about each class of the target, for a method that needs them.
    """

    __test__ = False  # not a pytest class

    text_tower: Path
    features: Path | None = None
    learned: Path | None = None
    manifest: Path | None = None
    root: Path | None = None
    workers: int = 0
    descriptions: Path | None = None


class Source(Protocol):
    """N images for each of S seeds."""

    images: int

    def batches(self, epoch: int, visit: Tensor, size: int, steps: int) -> Iterator[Any]:
        """The inputs (S, B, ...), or `States`, of each step of an epoch with images in the order `visit` (S, N)."""

    def of_seed(self, index: int) -> "Source":
        """The images of one seed alone."""


@dataclass(frozen=True)
class TrainingImages:
    """The training data of a run.

    Attributes:
        source: features or pixels by epoch.
        labels: labels within the subset, (S, N).
        classnames: class names of the subset.
        made: how the images were listed, preprocessed and selected; equal for equal inputs.
        frozen: features of the same views, or None.
        second: features of another view of each image, or None.
        validation: features (S, Nv, E) and labels (S, Nv) to select on, or None.
    """

    source: Source
    labels: Tensor
    classnames: tuple[str, ...]
    made: dict[str, Any]
    frozen: Source | None = None
    validation: tuple[Tensor, Tensor] | None = None
    second: Source | None = None

    def of_seed(self, index: int) -> "TrainingImages":
        """The images of one seed alone."""
        validation = self.validation
        if validation:
            features, of_validation = validation
            validation = features[index : index + 1], of_validation[index : index + 1]
        source, labels = self.source.of_seed(index), self.labels[index : index + 1]
        frozen = source if self.frozen is self.source else self.frozen and self.frozen.of_seed(index)
        second = self.second and self.second.of_seed(index)
        return replace(self, source=source, labels=labels, frozen=frozen, second=second, validation=validation)


@dataclass(frozen=True)
class TestImages:
    """The test images of a dataset.

    Attributes:
        classnames: class names of the dataset.
        truth: labels (N,).
        batches: (index (n,), at_once) -> the classifier's inputs for these images.
        tokens: features per image: 1, or 1 + L with local features.
    """

    __test__ = False

    classnames: tuple[str, ...]
    truth: Tensor
    batches: Callable[[Tensor, int], Iterator[Tensor]]
    tokens: int = 1


def made_with(run: Run, fingerprint: str) -> dict[str, Any]:
    """Metadata about the backbone and the kind of features that a file of features must have for a run."""
    return {
        "backbone": run.backbone.name,
        "backbone_fingerprint": fingerprint,
        "precision": run.backbone.precision,
        "local": run.local or None,
    }


def check_draw(run: Run, found: Mapping[int, Any], where: str) -> None:
    """Raises a UserError unless the images of each seed are of the run's draw. found: by seed, empty for the authors' draw."""
    for at, seed in enumerate(run.seeds):
        if canonical_json(found[seed]) != canonical_json(run.draw.images.of_seed(at).settings):
            raise UserError(
                f"{where}: its images of seed {seed} are of another draw ({canonical_json(found[seed])}) than those of this run "
                f"({canonical_json(run.draw.images.of_seed(at).settings)}); delete it and run again."
            )


def image_side(run: Run, fingerprint: str, device: str) -> "Backbone | None":
    """The run's complete backbone for a method that takes images; its weights must match those of the text tower."""
    if run.inputs == "features":
        return None
    from cocoop.backbone import model as backbone

    whole = backbone.load(run.backbone, device)
    if whole.fingerprint != fingerprint:
        raise UserError(
            f"backbone {run.backbone.name!r}: the text tower's file was made with weights that differ from "
            f"{run.backbone.pretrained}; delete the file and run again."
        )
    return whole
