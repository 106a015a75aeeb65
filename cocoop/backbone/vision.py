"""An image encoder that methods can change: frozen weights, learned tokens, adapters and low-rank terms.

Unchanged computations are done once for all seeds; states before the first changed layer can be cached per view.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from cocoop.backbone import vision_layers, vision_reading
from cocoop.backbone.model import AUTOCAST, Backbone, computing
from cocoop.backbone.vision_changes import NO_CHANGES, TOKENS, ImageChanges
from cocoop.backbone.vision_tower import VisionTower
from cocoop.errors import UserError

IMAGE = "image"


class States(NamedTuple):
    """Hidden states (S or 1, B, 1 + P, D) of the class token and the patches before a layer of the frozen tower.

    S is 1 if the pixels are the same for all seeds. Before layer 0, they are the patch embeddings after ln_pre.
    """

    layer: int
    x: Tensor

    def to(self, dtype: torch.dtype) -> "States":
        """Themselves: states keep the tower's dtype, unlike features."""
        return self


class Encoded(NamedTuple):
    """features: (S, B, E), not normalised; inserted: inserted tokens after ln_post, (S, B, M, D), None if there are none."""

    features: Tensor
    inserted: Tensor | None


class ImageEncoder:
    """A frozen vision transformer. It contains only constants; the backward pass ends at the first change."""

    def __init__(self, tower: VisionTower, device: torch.device, precision: str = "fp32") -> None:
        self.device, self.precision = device, precision
        self.tower = _in_precision(tower, AUTOCAST.get(precision))

    @classmethod
    def of(cls, backbone: Backbone) -> "ImageEncoder":
        """The encoder of a backbone's image tower. Raises a UserError with the reason if methods cannot change it."""
        if reason := vision_reading.why_fixed(backbone.model):
            raise UserError(
                f"backbone {backbone.spec.name!r}: methods cannot change its image tower, because {reason}; "
                "use a vision transformer, such as ViT-B-16."
            )
        return cls(vision_reading.read(backbone.model), backbone.device, backbone.spec.precision)

    @property
    def layers(self) -> int:
        return len(self.tower.layers)

    @property
    def width(self) -> int:
        """D, the width of a token."""
        return self.tower.width

    @property
    def embed_dim(self) -> int:
        """E, the width of an image feature."""
        return self.tower.embed_dim

    def shape(self, layer: int, matrix: str) -> tuple[int, int]:
        """(out, in) of one of a layer's MATRICES, for low-rank terms."""
        of = self.tower.layers[layer]
        own = {"o": of.out, "fc": of.fc, "proj": of.proj}
        if matrix not in own:
            return self.width, self.width
        out, into = own[matrix].weight.shape
        return out, into

    def states(self, pixels: Tensor, layer: int = 0) -> States:
        """Frozen states before a layer, from normalised pixels (S, B, 3, H, W), or (B, 3, H, W) if they are equal for all seeds."""
        if not 0 <= layer < self.layers:
            raise ValueError(f"layer {layer}, but the image tower has layers 0 to {self.layers - 1}")
        with computing(self.device, self.precision):
            start = self._embedded(pixels)
            return States(layer, self._run(start, layer, NO_CHANGES, start.x.shape[2])[IMAGE])

    def encode(self, images: Tensor | States, changes: ImageChanges = NO_CHANGES) -> Encoded:
        """Features of images with the changes of S seeds. images: pixels as for `states`, or cached states.

        Raises a ValueError for changes before the cached states, and for changes that do not match the tower.
        """
        with computing(self.device, self.precision):
            start = images if isinstance(images, States) else self._embedded(images)
            changes.check(self.layers, self.width, self.shape, len(start.x))
            if early := sorted(layer for layer in changes.layers if layer < start.layer):
                raise ValueError(f"changes of layers {early}, but the states are those before layer {start.layer}")
            read = start.x.shape[2] if self.tower.mean_pool else 1
            last = self._run(start, self.layers, changes, read)
            return Encoded(self._out(self._pooled(last[IMAGE])), self._read_out(last, changes))

    def tokens(self, images: Tensor | States) -> Tensor:
        """The image feature and a feature of each patch, (S or 1, B, 1 + P, E), for methods that use local features (PLOT).

        The final layer norm and the projection are applied to patches as to the image feature.
        """
        with computing(self.device, self.precision):
            start = images if isinstance(images, States) else self._embedded(images)
            x = self._run(start, self.layers, NO_CHANGES, start.x.shape[2])[IMAGE]
            return self._out(torch.cat([self._pooled(x)[..., None, :], self._normed(x[:, :, 1:])], 2))

    def _embedded(self, pixels: Tensor) -> States:
        pixels = pixels.to(self.device, self._input_type(pixels.dtype))
        seeds = pixels.shape[0] if pixels.ndim == 5 else 1
        x = self.tower.ln_pre(self.tower.embed(pixels.flatten(0, -4)))
        return States(0, x.unflatten(0, (seeds, -1)))

    def _run(self, start: States, stop: int, changes: ImageChanges, read: int) -> Mapping[str, Tensor]:
        """The sequence's pieces before layer `stop`; after the last layer, only tokens that are read out.

        read: number of leading tokens of the image that are read out.
        """
        pieces = {IMAGE: start.x.to(self.device)}
        for at in range(start.layer, stop):
            pieces |= self._tokens_of(changes, at, pieces[IMAGE].dtype)
            final = at == self.layers - 1
            rows = [_rows(name, x, changes, at + 1, read if final else None) for name, x in pieces.items()]
            layer, inside = self.tower.layers[at], changes.of_layer(at)
            pieces = dict(zip(pieces, vision_layers.run(layer, list(pieces.values()), rows, *inside), strict=True))
        return pieces

    def _tokens_of(self, changes: ImageChanges, layer: int, dtype: torch.dtype) -> dict[str, Tensor]:
        """Tokens (S, 1, M, D) that are added before a layer."""
        found = {name: getattr(changes, name).get(layer) for name in TOKENS}
        found = {name: tokens[:, None].to(dtype) for name, tokens in found.items() if tokens is not None}
        if layer == 0 and "deep_prompts" in found:
            found["deep_prompts"] = self.tower.ln_pre(found["deep_prompts"])
        return found

    def _pooled(self, x: Tensor) -> Tensor:
        """Pools tokens of the image (S, B, T, D) after the final norm to (S, B, D). Means exclude learned tokens."""
        x = self.tower.norm_tokens(x)
        return self.tower.norm_pooled(x[:, :, 1:].mean(2) if self.tower.mean_pool else x[:, :, 0])

    def _normed(self, x: Tensor) -> Tensor:
        return self.tower.norm_pooled(self.tower.norm_tokens(x))

    def _read_out(self, last: Mapping[str, Tensor], changes: ImageChanges) -> Tensor | None:
        return _wide(self._normed(last["inserted"])) if changes.inserted else None

    def _out(self, x: Tensor) -> Tensor:
        return _wide(self.tower.project(x))

    def _input_type(self, dtype: torch.dtype) -> torch.dtype:
        if self.precision == "reference-fp16":
            return torch.float16
        return dtype if dtype == torch.float64 else torch.float32


def _rows(name: str, x: Tensor, changes: ImageChanges, after: int, read: int | None) -> int:
    """Number of leading tokens of a piece that are needed after a layer, without tokens that are replaced or not read.

    after: the next layer; read: after the last layer, the number of tokens of the image that are read out.
    """
    if name == IMAGE:
        return x.shape[2] if read is None else read
    unread = name == "deep_prompts" and read is not None
    return 0 if unread or after in getattr(changes, name) else x.shape[2]


def _in_precision(tower: VisionTower, dtype: torch.dtype | None) -> VisionTower:
    """Converts matrices to half precision once, while autocast would do it in every step."""
    if dtype is None:
        return tower
    names = ("qkv", "out", "fc", "proj")
    layers = [replace(layer, **{name: getattr(layer, name).to(dtype) for name in names}) for layer in tower.layers]
    return replace(tower, layers=layers, head=tower.head and tower.head.to(dtype))


def _wide(x: Tensor) -> Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()
