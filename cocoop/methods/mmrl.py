"""MMRL: representation tokens in the higher layers of both towers (Guo and Gu, CVPR 2025; MMRL trainers/mmrl.py)."""

from collections.abc import Sequence
from copy import deepcopy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.backbone.vision import ImageEncoder
from cocoop.backbone.vision_changes import ImageChanges
from cocoop.errors import UserError
from cocoop.methods.base import Batch, Classifier, Losses, Method, Task, cross_entropy, generator
from cocoop.methods.context import drawn
from cocoop.methods.linear import StackedLinear
from cocoop.methods.shared_text import SharedText
from cocoop.text.changes import TextChanges

SCALE = 100.0  # a constant in place of exp(logit_scale) (mmrl.py:228-230)


class Seen(NamedTuple):
    """Features (S, B, E) of images: of the class token, and of the representation tokens."""

    image: Tensor
    representation: Tensor


class MMRL(Method):
    """Tokens that both towers share, mapped to each layer, and a second image feature: their mean, projected.

    Loss: alpha * CE(class token) + (1 - alpha) * CE(representation) + reg_weight * (1 - cosine to the frozen image feature)
    + reg_weight * (1 - cosine to the frozen text features) (mmrl.py:238-255).

    In tests among classes trained on, on images of the same dataset, the logits of both features are mixed by alpha; other
    tests use the class token alone (mmrl.py:396-440).

    n_tokens: K; dim: their width; layers: where they enter (the first of these) and are replaced, counted from 1; layers that the
    text tower does not have change only the image tower. Prompts are the dataset's template.
    """

    def __init__(
        self, task: Task, *, n_tokens: int, dim: int, layers: Sequence[int], alpha: float, reg_weight: float
    ) -> None:
        super().__init__(task)
        self.alpha, self.reg_weight = alpha, reg_weight
        self.encoder, text = ImageEncoder.of(self.image), task.text
        self.layers = [number - 1 for number in sorted(layers)]
        if self.layers[-1] >= self.encoder.layers or self.layers[0] >= text.layers:
            raise UserError(
                f"mmrl: tokens in layers {sorted(layers)}, but the image tower has layers 1 to {self.encoder.layers} and the text "
                f"tower 1 to {text.layers}; use other layers."
            )
        generators = [generator(seed) for seed in task.seeds]
        self.tokens = drawn((n_tokens, dim), generators, text)
        maps = (StackedLinear(dim, width, generators, text) for width in (self.encoder.width, text.width))
        # The maps of all layers are copies of one, so they start equal.
        self.to_image, self.to_text = (nn.ModuleList(deepcopy(one) for _ in layers) for one in maps)
        shape, std = (self.encoder.width, text.embed_dim), self.encoder.width**-0.5
        projection = torch.stack([std * torch.randn(shape, generator=g) for g in generators])
        self.projection = nn.Parameter(projection.to(text.device, text.dtype))

    @property
    def image_layer(self) -> int:
        return self.layers[0]

    def _mapped(self, maps: nn.ModuleList, depth: int) -> dict[int, Tensor]:
        """Tokens (S, K, D) by layer of a tower."""
        return {layer: map(self.tokens) for layer, map in zip(self.layers, maps, strict=True) if layer < depth}

    def seen(self, pixels: Tensor) -> Seen:
        """Both features of pixels (S, B, 3, H, W)."""
        inserted = self._mapped(self.to_image, self.encoder.layers)
        encoded = self.encoder.encode(pixels, ImageChanges(inserted=inserted))
        assert encoded.inserted is not None  # (S, B, K, D)
        return Seen(encoded.features, encoded.inserted.mean(2) @ self.projection)

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        encoder = self.text.encoder(self.text.templated(classnames, self.task.template))
        nothing = self.text.table.new_zeros(len(self.seeds), 0, self.text.width)

        def text_features() -> Tensor:
            return encoder(nothing, TextChanges(inserted=self._mapped(self.to_text, self.text.layers)))

        familiar = not self.task.transfer and set(classnames) <= set(self.task.classnames)
        return (
            Mixed(self, text_features) if familiar else SharedText(text_features, SCALE, lambda x: self.seen(x).image)
        )

    def losses(self, classify: "Mixed", batch: Batch) -> tuple[Tensor, Losses]:
        seen, text = self.seen(batch.inputs), classify.features()
        parts = [classify.logits(features, text) for features in seen]
        assert batch.frozen is not None  # needs: [frozen_features]
        teacher = self.text.zero_shot(self.task.classnames, self.task.template)  # (C, E)
        to_image = F.cosine_similarity(seen.image, batch.frozen, dim=-1).mean(-1)  # (S,)
        to_text = F.cosine_similarity(text, teacher, dim=-1).mean(-1)
        return classify.mixed(*parts), {
            "class_token": self.alpha * cross_entropy(parts[0], batch.labels),
            "representation": (1 - self.alpha) * cross_entropy(parts[1], batch.labels),
            "image": self.reg_weight * (1 - to_image),
            "text": self.reg_weight * (1 - to_text),
        }


class Mixed(SharedText):
    """alpha * logits of the class token + (1 - alpha) * logits of the representation."""

    def __init__(self, method: MMRL, features) -> None:
        super().__init__(features, SCALE, lambda inputs: method.seen(inputs).image)
        self.method = method

    def __call__(self, inputs: Tensor) -> Tensor:
        text = self.features()
        return self.mixed(*(self.logits(features, text) for features in self.method.seen(inputs)))

    def mixed(self, logits: Tensor, of_representation: Tensor) -> Tensor:
        """Logits (S, B, C) of the class token and of the representation, mixed."""
        return self.method.alpha * logits + (1 - self.method.alpha) * of_representation
