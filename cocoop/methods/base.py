"""The interface of methods: tensors learned for several seeds at once, their training, and a classifier for any class names."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from cocoop.errors import UserError
from cocoop.methods.noise import Noise
from cocoop.methods.task import Batch, FewShot, Task
from cocoop.text.text_encoder import TextEncoder

if TYPE_CHECKING:
    from cocoop.backbone.model import Backbone

Classifier = Callable[[Tensor], Tensor]
"""Image features (S, B, E), not normalised, to logits (S, B, C). With local features, they are (S, B, 1 + L, E), the global one
first; a method that takes images gets normalised pixels (S, B, 3, H, W)."""
Losses = dict[str, Tensor]
"""Named terms (S,) of each seed's loss, which is their sum."""


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
        terms = list(losses.values())
        (torch.stack(terms) if len(terms) > 1 else terms[0]).sum().backward()

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


def unit(features: Tensor) -> Tensor:
    """Features (..., E) divided by their lengths (coop.py:198, cocoop.py:184).

    As in the authors' code, a zero has no direction and becomes NaN; F.normalize, which returns a zero, takes more operations.
    """
    return features / torch.linalg.vector_norm(features, dim=-1, keepdim=True)


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
