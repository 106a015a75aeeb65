"""MMA: adapters in the higher layers of both towers that share a part (Yang et al., CVPR 2024; VLM-MultiModalAdapter)."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.backbone.vision import ImageEncoder
from cocoop.backbone.vision_changes import ImageChanges
from cocoop.errors import UserError
from cocoop.methods.base import Classifier, Method, Task, generator
from cocoop.methods.linear import StackedLinear
from cocoop.methods.shared_text import SharedText
from cocoop.text.changes import TextChanges
from cocoop.text.text_encoder import TextEncoder


class Linear(StackedLinear):
    """S linear layers whose weights start with variance 2 / outputs and whose biases start at zero (mmadapter.py:44-148)."""

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator], text: TextEncoder) -> None:
        super().__init__(inputs, outputs, generators, text)
        with torch.no_grad():
            for weight, draw in zip(self.weight, generators, strict=True):
                weight.copy_((2 / outputs) ** 0.5 * torch.randn(outputs, inputs, generator=draw))
            self.bias.zero_()


class Adapter(nn.Module):
    """The part of an adapter that belongs to one tower: width -> dim, and back."""

    def __init__(self, width: int, dim: int, *start: Any) -> None:
        super().__init__()
        self.down, self.up = Linear(width, dim, *start), Linear(dim, width, *start)


class Times(torch.autograd.Function):
    """x times one factor, its gradient times another."""

    @staticmethod
    def forward(context: Any, x: Tensor, forward: float, backward: float) -> Tensor:
        context.factor = backward
        return x * forward

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient * context.factor, None, None


class MMA(Method):
    """out + scale * up(relu(shared(relu(down(ln_1(x)))))) behind each of the layers `start` to `end` (clip/model.py:186-216).

    The parameters get the gradient of the unscaled term, 1 / scale times the true one; x gets the true gradient (clip/gsl.py).

    start, end: first and last layer with adapters, counted from 1; a tower with fewer layers has them up to its last one;
    dim: width of the shared part; template: the prompt, the same for all datasets.
    """

    def __init__(self, task: Task, *, start: int, end: int, dim: int, scale: float, template: str) -> None:
        super().__init__(task)
        self.start, self.scale, self.template = start - 1, scale, template
        self.encoder = ImageEncoder.of(self.image)
        drawn = [generator(seed) for seed in task.seeds], task.text
        depths = {"image": (self.encoder.layers, self.encoder.width), "text": (task.text.layers, task.text.width)}
        for tower, (layers, width) in depths.items():
            if start > layers or start > end:
                raise UserError(
                    f"mma: adapters in layers {start} to {end}, but the {tower} tower has layers 1 to {layers}; use other "
                    "values of start and end."
                )
            chosen = range(start - 1, min(end, layers))
            self.add_module(f"{tower}_adapters", nn.ModuleDict({str(at): Adapter(width, dim, *drawn) for at in chosen}))
        shared = range(start - 1, min(end, max(layers for layers, _ in depths.values())))
        self.shared = nn.ModuleDict({str(at): Linear(dim, dim, *drawn) for at in shared})

    @property
    def image_layer(self) -> int:
        return self.start

    def _added(self, layer: str, adapter: Adapter, normed: Tensor) -> Tensor:
        """The term (S, T, D) of a layer's input after its first norm (S or 1, T, D)."""
        x = Times.apply(normed, 1.0, self.scale)
        x = adapter.up(F.relu(self.shared[layer](F.relu(adapter.down(x)))))
        return Times.apply(x, self.scale, 1.0)

    def image_features(self, pixels: Tensor) -> Tensor:
        """Features (S, B, E) of pixels (S, B, 3, H, W), or of states."""

        def of(layer: str, adapter: Adapter):
            return lambda normed: self._added(layer, adapter, normed.flatten(1, 2)).unflatten(1, normed.shape[1:3])

        adapters = {int(layer): of(layer, adapter) for layer, adapter in self.image_adapters.items()}
        return self.encoder.encode(pixels, ImageChanges(adapters=adapters)).features

    def _text_changes(self) -> TextChanges:
        def of(layer: str, adapter: Adapter):
            return lambda normed, out: out + self._added(layer, adapter, normed)

        return TextChanges(adapters={int(layer): of(layer, adapter) for layer, adapter in self.text_adapters.items()})

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        encoder = self.text.encoder(self.text.templated(classnames, self.template))
        nothing = self.text.table.new_zeros(len(self.seeds), 0, self.text.width)
        return SharedText(lambda: encoder(nothing, self._text_changes()), self.text.scale, self.image_features)
