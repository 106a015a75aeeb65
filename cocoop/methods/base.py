"""What a method is: learned tensors for several seeds at once, and a classifier for any list of class names."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.errors import UserError, shown
from cocoop.text.text_encoder import TextEncoder

Classifier = Callable[[Tensor], Tensor]
"""Image features (S, B, E), not normalised, to logits (S, B, C); of a method with inputs = "images", normalised pixels
(S, B, 3, H, W)."""


class Method(nn.Module, ABC):
    """S runs that differ in their seed only. Every parameter has S as its first dimension, so no seed sees another.

    A subclass takes (text, seeds, template, **params), registers its parameters, and implements `for_classes`; one that
    learns by itself also has `fit(features (S, V, N, E), labels (S, N))`.

    inputs: "features" (cached) or "images": its classifiers take pixels, and its constructor gets the `backbone`.
    """

    inputs: ClassVar[str] = "features"

    def __init__(self, text: TextEncoder, seeds: Sequence[int], template: str) -> None:
        super().__init__()
        self.text, self.seeds, self.template = text, tuple(seeds), template

    @abstractmethod
    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        """A classifier among these classes that uses this method's learned tensors as they are at each call."""

    def learned(self) -> dict[str, Tensor]:
        """Learned tensors of each seed: `seed1.ctx` (M, D), ..."""
        named = list(self.named_parameters())
        return {f"seed{seed}.{name}": t.detach()[i] for i, seed in enumerate(self.seeds) for name, t in named}

    @torch.no_grad()
    def load_learned(self, tensors: dict[str, Tensor], where: str) -> None:
        """Takes over what `learned` gave; a tensor that is missing or of another shape is a UserError naming `where`."""
        for name, parameter in self.named_parameters():
            for i, seed in enumerate(self.seeds):
                tensor = tensors.get(f"seed{seed}.{name}")
                if tensor is None or tensor.shape != parameter.shape[1:]:
                    found = "is missing" if tensor is None else f"has shape {tuple(tensor.shape)}"
                    raise UserError(
                        f"{where}: learned tensor seed{seed}.{name} {found}, expected {tuple(parameter.shape[1:])}; "
                        "it was made for another backbone, class list or variant. Train it again."
                    )
                parameter[i] = tensor

    def shapes(self) -> dict[str, list[int]]:
        """Shape of each learned tensor of one run."""
        return {name: list(tensor.shape[1:]) for name, tensor in self.named_parameters()}


def generator(seed: int) -> torch.Generator:
    """The source of a run's initial values, on the CPU so that every device starts alike."""
    return torch.Generator().manual_seed(seed)


def refuse_other_classes(what: str, trained_on: Sequence[str], asked: Sequence[str]) -> None:
    """A UserError unless these are the class names, in the same order, that class-bound tensors were learned for.

    Equal numbers prove nothing: the halves of a dataset are as large, and every accuracy would look plausible.
    """
    if tuple(trained_on) == tuple(asked):
        return
    first = next((pair for pair in zip(trained_on, asked, strict=False) if pair[0] != pair[1]), None)
    differ = f"; the first that differs: {shown(first[1])}, learned was {shown(first[0])}" if first else ""
    raise UserError(
        f"{what} of {len(trained_on)} classes cannot classify {len(asked)} others{differ}; "
        "test on the classes trained on."
    )


class SharedText:
    """A classifier whose text features do not depend on the image; without gradients they are computed once."""

    def __init__(self, features: Callable[[], Tensor], scale: float) -> None:
        self.features, self.scale = features, scale
        self.kept: Tensor | None = None

    def __call__(self, image_features: Tensor) -> Tensor:
        return self.scale * F.normalize(image_features, dim=-1) @ self._text(image_features.dtype).mT

    def _text(self, dtype: torch.dtype) -> Tensor:
        if torch.is_grad_enabled():
            return F.normalize(self.features(), dim=-1).to(dtype)  # (S, C, E)
        if self.kept is None:
            self.kept = F.normalize(self.features(), dim=-1).to(dtype)
        return self.kept
