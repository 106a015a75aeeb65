"""A backbone: a frozen open_clip model with its preprocessing and a fingerprint of everything that affects its features."""

import contextlib
import hashlib
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import open_clip
import torch
from torch import nn

from cocoop import io
from cocoop.backbone import architecture, checkpoint, hub, preprocessing
from cocoop.backbone.transforms import Preprocessing
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError

logger = logging.getLogger(__name__)
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = ("fp32", "bf16", "fp16", "reference-fp16")
RANDOM_WEIGHTS_SEED = 0


@dataclass(frozen=True)
class Backbone:
    """A frozen model in eval mode.

    Attributes:
        spec: the settings, with the precision it computes in (not auto).
        model: the open_clip model.
        preprocessing: the preprocessing of images.
        embed_dim: E, the size of a feature.
        logit_scale: factor of the cosine similarities, exp of the checkpoint's parameter.
        fingerprint: sha256 of the architecture, the preprocessing and the bytes of all tensors in the loaded precision.
        origin: repository and commit of the weights on the Hugging Face hub; None for those of other places.
        device: the device of the model.
    """

    spec: BackboneSpec
    model: nn.Module
    preprocessing: Preprocessing
    embed_dim: int
    logit_scale: float
    fingerprint: str
    device: torch.device
    origin: str | None = None

    @property
    def image_size(self) -> int:
        """Side length of the square input in pixels."""
        return self.preprocessing.size

    @property
    def mean(self) -> tuple[float, float, float]:
        return self.preprocessing.mean

    @property
    def std(self) -> tuple[float, float, float]:
        return self.preprocessing.std

    @property
    def interpolation(self) -> str:
        return self.preprocessing.interpolation

    @property
    def identity(self) -> dict[str, Any]:
        """Metadata about the backbone in files of features, which is checked when they are read."""
        return {
            "backbone": self.spec.name,
            "backbone_fingerprint": self.fingerprint,
            "precision": self.spec.precision,
            "preprocessing": self.preprocessing.settings,
        }

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels (B, 3, H, W) to features (B, E), float32, not L2-normalised, on the backbone's device.

        Weights are frozen; pixels can have gradients.
        """
        half = self.spec.precision == "reference-fp16"
        pixels = pixels.to(self.device, torch.float16 if half else torch.float32, memory_format=torch.channels_last)
        with computing(self.device, self.spec.precision):
            return self.model.encode_image(pixels).float()  # (B, E)


def load(spec: BackboneSpec, device: str | torch.device = "cpu") -> Backbone:
    """Builds the model through open_clip, fills in its weights and freezes it.

    Raises a UserError for an unknown model or tag, for a checkpoint that is missing, corrupt, unsafe or of another architecture,
    for a failed download, and for weights that do not match the activation function, about which open_clip only warns.
    """
    spec = spec.on(str(device))
    if spec.precision not in PRECISIONS:
        raise UserError(
            f"backbone {spec.name!r}: unknown precision {spec.precision!r}; known: {', '.join(PRECISIONS)}."
        )
    name = architecture.register(spec)
    path, facts = architecture.weights(spec, name)
    pixels = preprocessing.resolve(spec, name, path, facts)
    model = _build(spec, name)
    if path is None:
        _warn_random(spec.name)
    else:
        checkpoint.fill(model, path)
    model = model.eval().requires_grad_(False)
    model.visual.to(memory_format=torch.channels_last)  # doubles the speed of a ResNet on a CPU
    config, prepared = open_clip.get_model_config(name), _preprocessing(spec, model, pixels)
    return Backbone(
        spec=spec,
        model=model.to(device),
        preprocessing=prepared,
        embed_dim=config["embed_dim"],
        logit_scale=math.exp(float(model.logit_scale)),
        fingerprint=fingerprint({"model": config, "preprocessing": prepared.settings}, model.state_dict()),
        device=torch.device(device),
        origin=hub.origin(path) if path else None,
    )


def fingerprint(config: dict[str, Any], state: dict[str, torch.Tensor]) -> str:
    """sha256 of a model's config and weights, sorted by name."""
    digest = hashlib.sha256(io.canonical_json(config).encode())
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _build(spec: BackboneSpec, name: str) -> nn.Module:
    try:
        with quiet(), torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(RANDOM_WEIGHTS_SEED)
            return open_clip.create_model(
                name,
                precision="fp16" if spec.precision == "reference-fp16" else "fp32",
                pretrained_text=False,  # weights come only from `checkpoint`, not from a hidden download
            )
    except Exception as error:  # open_clip, timm and transformers raise different types
        raise UserError(
            f"backbone {spec.name!r}: open_clip cannot build {spec.model} ({architecture.first_line(error)})."
        ) from error


def _preprocessing(spec: BackboneSpec, model: nn.Module, pixels: Mapping[str, Any]) -> Preprocessing:
    size = open_clip.get_model_preprocess_cfg(model)["size"]
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise UserError(
            f"backbone {spec.name!r}: {spec.model} takes {size[0]} x {size[1]} pixels; only square inputs are supported."
        )
    mean, std = ((float(r), float(g), float(b)) for r, g, b in (pixels["mean"], pixels["std"]))
    return Preprocessing(sides.pop(), mean, std, pixels["interpolation"], pixels["resize_mode"])


@cache
def _warn_random(name: str) -> None:
    logger.warning("backbone %s has `pretrained: null`: its random weights are only useful to measure speed", name)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences open_clip's log, which reports every look-up and warns that weights are random because we load them ourselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def computing(device: torch.device, precision: str) -> Iterator[None]:
    """The arithmetic of the image encoder: exact convolutions, under autocast for bf16 and fp16."""
    dtype = AUTOCAST.get(precision)
    with exact_convolutions(device), torch.autocast(device.type, dtype, enabled=dtype is not None):
        yield


@contextlib.contextmanager
def exact_convolutions(device: torch.device) -> Iterator[None]:
    """On a GPU: computes in fp32 without TF32, and deterministically."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield
