"""The image encoder that methods can change: frozen weights, learned tokens, adapters and low-rank additions.

What no seed has changed is computed once for all seeds; what lies below the first changed layer can be cached per view.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from cocoop.backbone import vision_layers, vision_reading
from cocoop.backbone.model import AUTOCAST, Backbone, exact_convolutions
from cocoop.backbone.vision_changes import NO_CHANGES, TOKENS, ImageChanges
from cocoop.backbone.vision_tower import VisionTower
from cocoop.errors import UserError

IMAGE = "image"


class States(NamedTuple):
    """Hidden states (S or 1, B, 1 + P, D) of the class token and the patches in front of a layer of the frozen tower.

    S is 1 where the pixels are the same for all seeds. In front of layer 0 they are the patch embedding after ln_pre.
    """

    layer: int
    x: Tensor


class Encoded(NamedTuple):
    """features: (S, B, E), not normalised; inserted: the inserted tokens after ln_post (S, B, M, D), None without any."""

    features: Tensor
    inserted: Tensor | None


class ImageEncoder:
    """A frozen vision transformer. It holds constants only; no gradient is kept below the first change."""

    def __init__(self, tower: VisionTower, device: torch.device, precision: str = "fp32") -> None:
        self.device, self.precision = device, precision
        self.tower = _in_precision(tower, AUTOCAST.get(precision))

    @classmethod
    def of(cls, backbone: Backbone) -> "ImageEncoder":
        """The encoder of a backbone's image tower; a UserError names the reason if methods cannot change it."""
        if reason := vision_reading.why_fixed(backbone.model):
            raise UserError(
                f"backbone {backbone.spec.name!r}: methods cannot change its image tower: {reason}; "
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
        """(out, in) of one of a layer's MATRICES, for low-rank additions to it."""
        of = self.tower.layers[layer]
        own = {"o": of.out, "fc": of.fc, "proj": of.proj}
        if matrix not in own:
            return self.width, self.width
        out, into = own[matrix].weight.shape
        return out, into

    def states(self, pixels: Tensor, layer: int = 0) -> States:
        """Normalised pixels (B, 3, H, W), the same for all seeds, or (S, B, 3, H, W) to the frozen states in front of a layer."""
        if not 0 <= layer < self.layers:
            raise ValueError(f"layer {layer}, but the image tower has layers 0 to {self.layers - 1}")
        with self._computing():
            start = self._embedded(pixels)
            return States(layer, self._run(start, layer, NO_CHANGES, start.x.shape[2])[IMAGE])

    def encode(self, images: Tensor | States, changes: ImageChanges = NO_CHANGES) -> Encoded:
        """Features of images under the changes of S seeds. images: pixels as for `states`, or states cached from there.

        Raises ValueError for changes below the cached states, and for those that the tower cannot take.
        """
        with self._computing():
            start = images if isinstance(images, States) else self._embedded(images)
            changes.check(self.layers, self.width, self.shape, len(start.x))
            if early := sorted(layer for layer in changes.layers if layer < start.layer):
                raise ValueError(f"changes of layers {early}, but the states are those in front of layer {start.layer}")
            read = start.x.shape[2] if self.tower.mean_pool else 1
            last = self._run(start, self.layers, changes, read)
            return Encoded(self._out(self._pooled(last[IMAGE])), self._read_out(last, changes))

    def tokens(self, images: Tensor | States) -> Tensor:
        """The image feature, then a feature of each patch, (S or 1, B, 1 + P, E), for methods that use local features (PLOT).

        Patches pass the final layer norm and the projection like the feature itself.
        """
        with self._computing():
            start = images if isinstance(images, States) else self._embedded(images)
            x = self._run(start, self.layers, NO_CHANGES, start.x.shape[2])[IMAGE]
            return self._out(torch.cat([self._pooled(x)[..., None, :], self._normed(x[:, :, 1:])], 2))

    def _embedded(self, pixels: Tensor) -> States:
        pixels = pixels.to(self.device, self._input_type(pixels.dtype))
        seeds = pixels.shape[0] if pixels.ndim == 5 else 1
        x = self.tower.ln_pre(self.tower.embed(pixels.flatten(0, -4)))
        return States(0, x.unflatten(0, (seeds, -1)))

    def _run(self, start: States, stop: int, changes: ImageChanges, read: int) -> Mapping[str, Tensor]:
        """The sequence's pieces in front of layer `stop`; behind the last layer only tokens that are read out are left.

        read: how many leading tokens of the image are.
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
        """Tokens (S, 1, M, D) that enter in front of a layer."""
        found = {name: getattr(changes, name).get(layer) for name in TOKENS}
        found = {name: tokens[:, None].to(dtype) for name, tokens in found.items() if tokens is not None}
        if layer == 0 and "deep_prompts" in found:
            found["deep_prompts"] = self.tower.ln_pre(found["deep_prompts"])
        return found

    def _pooled(self, x: Tensor) -> Tensor:
        """Tokens of the image (S, B, T, D) to (S, B, D), after the final norm. Learned tokens are never part of a mean."""
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

    @contextlib.contextmanager
    def _computing(self) -> Iterator[None]:
        """The precision of `Backbone.encode_images`."""
        dtype = AUTOCAST.get(self.precision)
        with exact_convolutions(self.device), torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            yield


def _rows(name: str, x: Tensor, changes: ImageChanges, after: int, read: int | None) -> int:
    """How many leading tokens of a piece go on behind a layer: none that the next layer replaces or that nobody reads.

    after: the next layer; read: behind the last layer, how many tokens of the image are read.
    """
    if name == IMAGE:
        return x.shape[2] if read is None else read
    unread = name == "deep_prompts" and read is not None
    return 0 if unread or after in getattr(changes, name) else x.shape[2]


def _in_precision(tower: VisionTower, dtype: torch.dtype | None) -> VisionTower:
    """Matrices in a half precision once, instead of in every step as autocast would."""
    if dtype is None:
        return tower
    names = ("qkv", "out", "fc", "proj")
    layers = [replace(layer, **{name: getattr(layer, name).to(dtype) for name in names}) for layer in tower.layers]
    return replace(tower, layers=layers, head=tower.head and tower.head.to(dtype))


def _wide(x: Tensor) -> Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()
