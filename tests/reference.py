"""The reference implementation's numbers, and the random CLIP they were computed with, rebuilt from a formula.

The goldens come from the CoOp authors' public code (CoOp, Dassl and the CLIP it carries), in fp32 on the CPU.
"""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image

GOLDENS = Path(__file__).parent / "goldens"
FURTHER = (
    [Path(os.environ["COCOOP_GOLDENS"])] if os.environ.get("COCOOP_GOLDENS") else []
)  # a folder with further cases


@dataclass(frozen=True)
class ClipCase:
    """A CLIP by formula with the reference's numbers: clip_tiny.json and .npz, or clip_tiny-NAME.json and .npz."""

    name: str
    facts: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def __str__(self) -> str:
        return self.name

    def array(self, name: str) -> torch.Tensor:
        return torch.from_numpy(np.array(self.arrays[name]))

    def model(self) -> open_clip.CLIP:
        return model_by_formula(self.facts["architecture"], self.facts["weight_seed"])

    def images(self, prefix: str) -> list[Image.Image]:
        return pictures(self.arrays, prefix)


def _clip_case(path: Path) -> ClipCase:
    with np.load(path.with_suffix(".npz")) as arrays:
        name = path.stem if path.parent == GOLDENS else f"{path.parent.name}/{path.stem}"
        return ClipCase(name, json.loads(path.read_text(encoding="utf-8")), dict(arrays))


def clip_cases() -> Iterator[ClipCase]:
    """Those of tests/goldens, and of the folder that the environment variable COCOOP_GOLDENS names."""
    for folder in [GOLDENS, *FURTHER]:
        yield from map(_clip_case, sorted(folder.glob("clip_tiny*.json")))


@cache
def _golden() -> ClipCase:
    return _clip_case(GOLDENS / "clip_tiny.json")


def facts() -> Mapping[str, Any]:
    """What the golden arrays are: architecture, class names, templates, variants, losses."""
    return _golden().facts


def goldens() -> Mapping[str, np.ndarray]:
    """The golden arrays by name."""
    return _golden().arrays


def model_config(architecture: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A CLIP as an open_clip model config: the golden one, or of another architecture in the goldens' words."""
    names = architecture or facts()["architecture"]
    return {
        "embed_dim": names["embed_dim"],
        "quick_gelu": names["activation"] == "quick_gelu",
        "vision_cfg": {
            "image_size": names["image_size"],
            "layers": names["vision_layers"],
            "width": names["vision_width"],
            "head_width": names["vision_width"] // names["vision_heads"],
            "patch_size": names["vision_patch_size"],
        },
        "text_cfg": {
            "context_length": names["context_length"],
            "vocab_size": names["vocab_size"],
            "width": names["text_width"],
            "heads": names["text_heads"],
            "layers": names["text_layers"],
        },
    }


def golden_model() -> open_clip.CLIP:
    """A fresh copy of the golden CLIP: eval mode, fp32, CPU."""
    model = open_clip.CLIP(**model_config())
    model.load_state_dict(_state_dict(), strict=True)
    return model.eval()


def model_by_formula(architecture: Mapping[str, Any], weight_seed: int) -> open_clip.CLIP:
    """A CLIP of another architecture with weights by the goldens' formula: eval mode, fp32, CPU, frozen."""
    model = open_clip.CLIP(**model_config(architecture))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    state = {name: torch.from_numpy(weights(name, shape, weight_seed)) for name, shape in shapes.items()}
    model.load_state_dict(state, strict=True)
    return model.eval().requires_grad_(False)


def golden_images(prefix: str = "image") -> list[Image.Image]:
    """The pictures of the goldens: prefix "image" (6 to classify) or "train_image" (12 to train on)."""
    return pictures(goldens(), prefix)


def pictures(arrays: Mapping[str, np.ndarray], prefix: str) -> list[Image.Image]:
    """The arrays PREFIX_0, PREFIX_1, ... as pictures."""
    names = [name for name in arrays if name.removeprefix(f"{prefix}_").isdecimal()]
    return [Image.fromarray(arrays[name]) for name in sorted(names, key=lambda name: int(name.rsplit("_")[-1]))]


@cache
def _state_dict() -> dict[str, torch.Tensor]:
    shapes = {name: tensor.shape for name, tensor in open_clip.CLIP(**model_config()).state_dict().items()}
    return {name: torch.from_numpy(weights(name, tuple(shape))) for name, shape in shapes.items()}


def weights(name: str, shape: tuple[int, ...], weight_seed: int | None = None) -> np.ndarray:
    """A parameter's values by formula, float32; the golden CLIP's own unless another seed is named."""
    if name == "logit_scale":
        return np.full(shape, np.log(1 / 0.07), np.float32)
    weight_seed = facts()["weight_seed"] if weight_seed is None else weight_seed
    seed = (zlib.crc32(name.encode()) + weight_seed) % 2**32
    x = np.random.RandomState(seed).standard_normal(shape)
    return (_offset(name) + _scale(name, shape) * x).astype(np.float32)


def _offset(name: str) -> float:
    return 1.0 if "ln_" in name and name.endswith("weight") else 0.0


def _scale(name: str, shape: tuple[int, ...]) -> float:
    if ("ln_" in name and name.endswith("weight")) or name.endswith("bias"):
        return 0.1
    if name == "token_embedding.weight":
        return 0.5
    if name in ("positional_embedding", "visual.positional_embedding", "visual.class_embedding"):
        return 0.3
    if name in ("visual.proj", "text_projection"):
        return shape[0] ** -0.5
    return float(np.prod(shape[1:])) ** -0.5
