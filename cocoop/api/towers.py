"""The frozen towers that a prompt works with, loaded once per process."""

import logging
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from cocoop.backbone import model
from cocoop.backbone.model import Backbone
from cocoop.config import Registry, weights
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError
from cocoop.text.loaded import text_encoder_of
from cocoop.text.text_encoder import TextEncoder

logger = logging.getLogger(__name__)
KEPT_LOADED = 2
HALF = ("fp16", "reference-fp16")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Towers:
    """A backbone and its text encoder."""

    image: Backbone
    text: TextEncoder


def spec_of(backbone: str | BackboneSpec, where: str) -> BackboneSpec:
    """The settings of a backbone, by the name of a file in config/backbones or as they are."""
    return backbone if isinstance(backbone, BackboneSpec) else Registry().backbone(backbone, where)


def device_of(wanted: str) -> str:
    """auto, cpu or cuda as a device of torch; unlike `cocoop.device.choose`, it changes no setting of torch."""
    if wanted not in DEVICES:
        raise UserError(f"device {wanted!r}: expected one of {', '.join(DEVICES)}.")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda': this machine has no CUDA device that torch can use; take auto or cpu.")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def fitting(spec: BackboneSpec, device: str, precision: str | None) -> BackboneSpec:
    """The settings to compute with: in the given precision or the backbone's own, but never in half precision on a CPU."""
    spec = spec.on(device)
    if precision is None and device == "cpu" and spec.precision in HALF:
        logger.info("backbone %s: computes in fp32 on a CPU instead of %s", spec.name, spec.precision)
        precision = "fp32"
    if precision not in (None, *model.PRECISIONS):
        raise UserError(f"precision {precision!r}: expected one of {', '.join(model.PRECISIONS)}.")
    return replace(spec, precision=precision or spec.precision)


def load(spec: BackboneSpec, device: str) -> Towers:
    """Both towers. Raises a UserError if local files of the backbone are not those that its settings describe."""
    found = weights.digest({"model": spec.model, "pretrained": spec.pretrained})
    if found and spec.files and found != spec.files:
        raise UserError(
            f"backbone {spec.name!r}: the files {spec.model} and {spec.pretrained} differ from those that the prompt was learned "
            "with; restore them, or train again."
        )
    return _load(_Key(spec), device)


class _Key:
    """A backbone's settings as a key of a cache: they contain mappings, which cannot be hashed."""

    def __init__(self, spec: BackboneSpec) -> None:
        self.spec, self.text = spec, repr(sorted(spec.settings.items(), key=lambda item: item[0]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


@lru_cache(maxsize=KEPT_LOADED)
def _load(key: _Key, device: str) -> Towers:
    backbone = model.load(key.spec, device)
    return Towers(backbone, text_encoder_of(backbone))
