"""Numbers of the successors' own code: MaPLe, IVLP, PromptSRC, TCP, CLIP-LoRA, MMA, MMRL, TaskRes, Tip-Adapter, fp32 on the CPU."""

import json
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from torch import Tensor

from tests import reference

GOLDENS = Path(__file__).parent / "goldens_successors"


@cache
def facts(method: str) -> dict[str, Any]:
    """Settings and losses of a method's cases."""
    return json.loads((GOLDENS / f"{method}.json").read_text(encoding="utf-8"))


def case(method: str, name: str) -> dict[str, Any]:
    return facts(method)["cases"][name]


@cache
def arrays(method: str) -> Mapping[str, np.ndarray]:
    with np.load(GOLDENS / f"{method}.npz") as found:
        return dict(found)


def array(method: str, name: str) -> Tensor:
    return torch.from_numpy(arrays(method)[name])


def golden(method: str, name: str, what: str) -> Tensor:
    return array(method, f"{name}_{what}")


@cache
def clip(method: str, name: str) -> open_clip.CLIP:
    """The frozen CLIP of a case; TCP's has a deeper text tower in some."""
    settings = case(method, name)
    if "clip" in settings:
        of = facts(method)["clips"][settings["clip"]]
        return reference.model_by_formula(of["architecture"], of["weight_seed"])
    architecture = reference.facts()["architecture"] | settings.get("architecture", {})
    return reference.model_by_formula(architecture, reference.facts()["weight_seed"])


def given(method: str, case_name: str, tensor: str) -> Tensor:
    """A learned tensor as the goldens were taken at it, with gradient."""
    of = case(method, case_name)
    base, scale = of["learned"][tensor]["given"]
    draw = np.random.RandomState((zlib.crc32(tensor.encode()) + of["given_seed"]) % 2**32)
    values = base + scale * draw.standard_normal(of["learned"][tensor]["shape"])
    return torch.from_numpy(values.astype(np.float32)).requires_grad_()


def given_all(method: str, name: str) -> dict[str, Tensor]:
    """All learned tensors of a case by their official names."""
    return {tensor: given(method, name, tensor) for tensor in case(method, name)["learned"]}


def pixels() -> Tensor:
    """The six pictures to classify, (6, 3, 32, 32)."""
    return torch.from_numpy(reference.goldens()["pixels"])


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-3) -> None:
    """Relative norm of the difference."""
    assert found.shape == expected.shape
    assert (found - expected).norm() <= tolerance * expected.norm()
