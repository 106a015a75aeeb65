"""CLIP-LoRA: low-rank terms in the attention of both towers (Zanella and Ben Ayed, CVPR workshops 2024; CLIP-LoRA lora.py)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from cocoop.backbone import vision_changes
from cocoop.backbone.vision import ImageEncoder
from cocoop.backbone.vision_changes import ImageChanges
from cocoop.errors import UserError
from cocoop.methods.base import Classifier, Method, Task, generator, like_linear
from cocoop.methods.noise import SeedDropout
from cocoop.methods.shared_text import SharedText
from cocoop.text import changes
from cocoop.text.changes import TextChanges
from cocoop.text.text_encoder import TextEncoder

SCALE = 100.0  # a constant in place of exp(logit_scale) (lora.py:35-147)
POSITIONS = {
    "bottom": range(4), "mid": range(4, 8), "up": range(8, 12), "half-bottom": range(6), "half-up": range(6, 12),
    "all": range(12), "top3": range(9, 12), "top2": range(10, 12), "top1": range(11, 12),
}  # fmt: skip  # of a tower with twelve layers (loralib/utils.py:10-47)
POSITIONS_OF_24 = {"half-bottom": range(12), "half-up": range(12, 24), "all": range(24)}  # ViT-L/14's image tower


class Term(nn.Module):
    """A and B of S seeds: A starts as the weight of a torch.nn.Linear, B at zero (loralib/layers.py:67-68)."""

    def __init__(self, width: int, rank: int, generators: Sequence[torch.Generator], text: TextEncoder) -> None:
        super().__init__()
        self.down = like_linear((rank, width), width, generators, text)  # A (S, r, D)
        self.up = nn.Parameter(torch.zeros_like(self.down.mT))  # B (S, D, r)


class CLIPLoRA(Method):
    """y = W x + b + alpha / sqrt(rank) * B A dropout(x) for some matrices of some layers (loralib/layers.py:41-42, 152-210).

    encoder: the towers that change: both, vision, or text, which takes image features; matrices: some of q, k, v, o;
    position: the layers that change; dropout: probability, in training, with a separate mask for each matrix; template: the prompt,
    the same for all datasets.
    With dropout 0, the authors' code ignores the term in gradients of earlier layers; here it is part of the gradient as with
    dropout above 0.
    """

    def __init__(
        self, task: Task, *, encoder: str, matrices: Sequence[str], position: str, rank: int, alpha: float,
        dropout: float, template: str,
    ) -> None:  # fmt: skip
        super().__init__(task)
        self.template, self.factor, self.rate = template, alpha / rank**0.5, dropout
        self.encoder = None if encoder == "text" else ImageEncoder.of(self.image)
        self.dropout = SeedDropout(self.noise, dropout)
        generators = [generator(seed) for seed in task.seeds]

        def terms(layers: int, width: int) -> nn.ModuleDict:
            made = {
                str(layer): nn.ModuleDict({name: Term(width, rank, generators, task.text) for name in matrices})
                for layer in _chosen(position, layers)
            }
            return nn.ModuleDict(made)

        self.image_terms = terms(self.encoder.layers, self.encoder.width) if self.encoder else nn.ModuleDict()
        self.text_terms = terms(task.text.layers, task.text.width) if encoder != "vision" else nn.ModuleDict()
        if not (self.image_terms or self.text_terms):
            raise UserError(f"clip_lora: this backbone has no layers at position {position!r}; use all.")

    def text_dropout(self, layer: int, matrix: str) -> changes.Dropout | None:
        """The mask of a matrix of the text tower; None outside of training."""
        if not self.training or not self.rate:
            return None
        return changes.dropout(self.rate, self.noise.numbers(), self.text.width, self.text.device)

    def image_dropout(self, layer: int, matrix: str) -> Callable[[Tensor], Tensor] | None:
        """The mask of a matrix of the image tower; None outside of training."""
        return self.dropout if self.training and self.rate else None

    def image_features(self, pixels: Tensor) -> Tensor:
        """Features (S, B, E) of pixels (S, B, 3, H, W)."""
        assert self.encoder is not None  # the image tower changes
        deltas = {
            (layer, matrix): vision_changes.LowRank(term.down, term.up, self.factor, self.image_dropout(layer, matrix))
            for layer, matrix, term in _listed(self.image_terms)
        }
        return self.encoder.encode(pixels, ImageChanges(deltas=deltas)).features

    def _text_changes(self) -> TextChanges:
        terms: dict[int, dict[str, changes.LowRank]] = {}
        for layer, matrix, term in _listed(self.text_terms):
            dropout = self.text_dropout(layer, matrix)
            terms.setdefault(layer, {})[matrix] = changes.LowRank(term.down, term.up, self.factor, dropout)
        return TextChanges(low_rank=terms)

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        image = {"image": self.image_features} if self.encoder else {}
        if not self.text_terms:
            frozen = self.text.zero_shot(classnames, self.template)[None]  # (1, C, E)
            return SharedText(lambda: frozen, SCALE, **image)
        encoder = self.text.encoder(self.text.templated(classnames, self.template))
        nothing = self.text.table.new_zeros(len(self.seeds), 0, self.text.width)
        return SharedText(lambda: encoder(nothing, self._text_changes()), SCALE, **image)


def _chosen(position: str, layers: int) -> list[int]:
    """The layers of a position in a tower; beyond 12 layers, the authors define only halves and all, of 24."""
    found = POSITIONS if layers <= 12 else POSITIONS_OF_24
    if position not in found:
        raise UserError(f"clip_lora: position {position!r} in a tower with {layers} layers; known: {', '.join(found)}.")
    return [layer for layer in found[position] if layer < layers]


def _listed(terms: nn.ModuleDict) -> list[tuple[int, str, Term]]:
    return [(int(layer), name, term) for layer, named in terms.items() for name, term in named.items()]
