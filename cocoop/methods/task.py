"""What a method is given: the task that it is built for, a batch of a training step, and all few-shot images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from cocoop.errors import UserError
from cocoop.text.text_encoder import TextEncoder

if TYPE_CHECKING:
    from cocoop.backbone.model import Backbone


@dataclass(frozen=True)
class Task:
    """The task that a method is built for.

    Attributes:
        text: the frozen text tower.
        seeds: S seeds, each with its own learned tensors.
        classnames: training classes; empty for an untrained method.
        prompts: hand-crafted templates, or sentences by class name, of the dataset at hand; empty unless the method's file has
            `prompts_from`. `hand_crafted` gives their features.
        template: the one template whose words the method needs; empty unless it `needs` them.
        image: the frozen backbone, for a method that takes images.
        dataset: name of the dataset trained on; in a test, of the target.
        transfer: whether this is a test on another dataset than that trained on.
    """

    text: TextEncoder
    seeds: tuple[int, ...]
    classnames: tuple[str, ...] = ()
    prompts: tuple[str, ...] | Mapping[str, Sequence[str]] = ()
    template: str = ""
    image: "Backbone | None" = None
    dataset: str = ""
    transfer: bool = False

    @cached_property
    def _kept(self) -> dict[Any, Tensor]:
        return {}

    def hand_crafted(self, classnames: Sequence[str], average: str = "unit", underscores: bool = False) -> Tensor:
        """Frozen text features (C, E) of the classes' hand-crafted prompts, computed once; do not modify them in place.

        average: "unit" normalises each feature, averages those of a class, and normalises the mean, as the authors of CLIP do;
            "raw" is the plain mean.
        underscores: whether class names keep them, as in the code of TaskRes; everywhere else they become spaces.
        Raises a UserError for a method whose file lacks `prompts_from`, for a class without sentences, and for a text that is too
        long.
        """
        if not self.prompts:
            raise UserError(
                "the run has no hand-crafted prompts; a method that uses them has `prompts_from: template` in its file."
            )
        key = (tuple(classnames), average, underscores)
        if key not in self._kept:
            self._kept[key] = self.text.zero_shot(classnames, self.prompts, average, underscores)
        return self._kept[key]


class Batch(NamedTuple):
    """The data of a training step.

    inputs: features (S, B, E), with local features (S, B, 1 + L, E), or pixels (S, B, 3, H, W).
    labels: (S, B).
    frozen: the frozen backbone's features (S, B, E) of the same views; None for a method that takes images and does not need
        them.
    second: the frozen backbone's features (S, B, E) of other views of the same images; None unless the method needs them.
    """

    inputs: Tensor
    labels: Tensor
    frozen: Tensor | None = None
    second: Tensor | None = None


class FewShot(NamedTuple):
    """All training images at once.

    features (S, V, N, E), None for a method that takes images and does not need them; labels (S, N); val_features (S, Nv, E) and
    val_labels (S, Nv) of the validation draw, None unless the method needs it. With local features, E is (1 + L, E).
    """

    features: Tensor | None
    labels: Tensor
    val_features: Tensor | None = None
    val_labels: Tensor | None = None
