"""The interface of methods: tensors learned for several seeds at once, their training, and a classifier for any class names."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from cocoop.errors import UserError
from cocoop.methods.noise import Noise
from cocoop.text.text_encoder import TextEncoder

if TYPE_CHECKING:
    from cocoop.backbone.model import Backbone

Classifier = Callable[[Tensor], Tensor]
"""Image features (S, B, E), not normalised, to logits (S, B, C). With local features, they are (S, B, 1 + L, E), the global one
first; a method that takes images gets normalised pixels (S, B, 3, H, W)."""
Losses = dict[str, Tensor]
"""Named terms (S,) of each seed's loss, which is their sum."""


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


class Method(nn.Module, ABC):
    """S runs that differ only in their seed.

    A subclass takes (task, **params) and implements `for_classes`. Learned are its parameters that require a gradient; whatever
    else must be saved it registers with `keep`. Every one of these tensors has S as its first dimension, so no seed sees
    another. A module without such parameters is frozen: it is neither saved nor counted, and stays in eval mode. A tensor
    whose shape only the training images decide is an nn.UninitializedParameter (or Buffer) that `fit` materialises.
    """

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task, self.noise = task, Noise(task.seeds, task.text.device)
        self._kept: list[str] = []
        self._chosen: list[str] = []

    @property
    def text(self) -> TextEncoder:
        return self.task.text

    @property
    def image(self) -> "Backbone":
        """The frozen backbone, of a method that takes images."""
        assert self.task.image is not None  # inputs: images
        return self.task.image

    @property
    def image_layer(self) -> int:
        """The first layer of the image tower, counted from 0, that the method changes.

        If it is above 0, states before it are cached: the method has its `ImageEncoder` as `encoder`, and its classifier
        takes `States` as well as pixels. `image_layer_from` in the YAML file says the same for planning.
        """
        return 0

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.task.seeds

    @abstractmethod
    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        """A classifier among these classes that uses this method's tensors as they are at each call."""

    def fit(self, few_shot: FewShot) -> None:
        """Called once before the first step; for a method that learns by itself, this is the complete training."""

    def losses(self, classify: Classifier, batch: Batch) -> tuple[Tensor, Losses]:
        """Logits (S, B, C) and the terms of the loss; each term is a column of history.csv."""
        logits = classify(batch.inputs)
        return logits, {"cross_entropy": cross_entropy(logits, batch.labels)}

    def backward(self, losses: Losses) -> None:
        """Computes the gradients of the learned tensors."""
        torch.stack(list(losses.values())).sum().backward()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimizer; a group may override settings and may have an `lr_scale`.

        It multiplies the learning rate after the warm-up.
        """
        return [{"params": list(self.learned_parameters().values())}]

    def after_epoch(self, epoch: int, epochs: int) -> None:
        """Called after each epoch; epoch counts from 0, epochs is the total."""

    def select(self, features: Tensor, labels: Tensor, epoch: int, epochs: int) -> None:
        """Called after `after_epoch` if the run selects hyper-parameters on images, whose features (S, Nv, E) and labels
        (S, Nv) these are; a method that learns by itself selects in `fit`.
        """

    def keep(self, name: str, tensor: Tensor) -> None:
        """Registers a tensor (S, ...) that is saved with the learned ones, but is not one of them."""
        self.register_buffer(name, tensor)
        self._kept.append(name)

    def choose(self, name: str, value: float) -> None:
        """Registers a hyper-parameter (S,) with its fixed value, which `fit` or `select` may change for each seed.

        It is saved like a tensor of `keep`, and shown in metrics.json.
        """
        self.keep(name, torch.full((len(self.seeds),), float(value), device=self.text.device))
        self._chosen.append(name)

    def chosen(self) -> dict[int, dict[str, float]]:
        """The values of the hyper-parameters of `choose` by seed, to six digits."""
        named = {name: self.get_buffer(name).tolist() for name in self._chosen}
        return {s: {name: float(f"{x[i]:.6g}") for name, x in named.items()} for i, s in enumerate(self.seeds)}

    def train(self, mode: bool = True) -> "Method":
        super().train(mode)
        for module in self.children():
            for part in module.modules():
                parameters = list(part.parameters())
                if parameters and not any(parameter.requires_grad for parameter in parameters):
                    part.eval()
        return self

    def learned_parameters(self) -> dict[str, nn.Parameter]:
        """The learned tensors (S, ...) by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def saved(self) -> dict[str, Tensor]:
        """All tensors (S, ...) of the trained method: the learned ones and those of `keep`.

        Raises a UserError for a tensor whose first dimension is not S.
        """
        found = self.learned_parameters() | {name: self.get_buffer(name) for name in self._kept}
        for name, tensor in found.items():
            if not is_lazy(tensor) and tensor.shape[:1] != (len(self.seeds),):
                raise UserError(
                    f"{type(self).__name__}.{name}: shape {tuple(tensor.shape)}, but the first dimension of a saved tensor "
                    f"must be the {len(self.seeds)} seeds."
                )
        return found

    def learned(self) -> dict[str, Tensor]:
        """The saved tensors by seed: `seed1.ctx` (M, D), ..."""
        named = self.saved()
        return {f"seed{seed}.{name}": t.detach()[i] for i, seed in enumerate(self.seeds) for name, t in named.items()}

    @torch.no_grad()
    def load_learned(self, tensors: Mapping[str, Tensor], where: str) -> None:
        """Loads the result of `learned`. Raises a UserError that names `where` for a missing tensor or a wrong shape."""
        for name, own in self.saved().items():
            for i, seed in enumerate(self.seeds):
                tensor = tensors.get(f"seed{seed}.{name}")
                if tensor is not None and is_lazy(own):
                    own.materialize((len(self.seeds), *tensor.shape), self.text.device, tensor.dtype)
                if tensor is None or tensor.shape != own.shape[1:]:
                    found = "is missing" if tensor is None else f"has shape {tuple(tensor.shape)}"
                    expected = "" if is_lazy(own) else f", expected {tuple(own.shape[1:])}"
                    raise UserError(
                        f"{where}: learned tensor seed{seed}.{name} {found}{expected}; "
                        "it was made for another backbone, class list or variant. Train it again."
                    )
                own[i] = tensor

    def shapes(self) -> dict[str, list[int]]:
        """Shape of each learned tensor of one run."""
        return {name: list(tensor.shape[1:]) for name, tensor in self.learned_parameters().items()}


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy (S,) of logits (S, B, C) and labels (S, B) (coop.py:273, cocoop.py:192)."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels).mean(1)


def generator(seed: int) -> torch.Generator:
    """The generator of a run's initial values, on the CPU so that they do not depend on the device."""
    return torch.Generator().manual_seed(seed)


def like_linear(
    shape: tuple[int, ...], inputs: int, generators: Sequence[torch.Generator], text: TextEncoder
) -> nn.Parameter:
    """A tensor (S, *shape) that starts like those of a torch.nn.Linear with this many inputs (its `reset_parameters`)."""
    bound = inputs**-0.5
    drawn = [torch.empty(shape).uniform_(-bound, bound, generator=g) for g in generators]
    return nn.Parameter(torch.stack(drawn).to(text.device, text.dtype))
