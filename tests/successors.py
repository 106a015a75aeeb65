"""Numbers of the authors' own code of methods that change both towers, with the random CLIPs they were computed with.

tests/goldens_successors holds one npz and one json for each method, made in fp32 on the CPU through the published trainers. A
case's learned tensors are set to values by formula (`given`); features, logits and gradients are taken there.
"""

import json
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from torch import Tensor, nn

from tests import reference

FOLDER = Path(__file__).parent / "goldens_successors"


@cache
def facts(method: str) -> dict[str, Any]:
    """Cases and CLIPs of a method."""
    return json.loads((FOLDER / f"{method}.json").read_text(encoding="utf-8"))


@cache
def arrays(method: str) -> Mapping[str, np.ndarray]:
    """All arrays of a method by name, `{case}_{what}`."""
    with np.load(FOLDER / f"{method}.npz") as found:
        return dict(found)


def array(method: str, name: str) -> Tensor:
    return torch.from_numpy(arrays(method)[name])


def clip(method: str, case: str) -> nn.Module:
    """The CLIP of a case: eval mode, fp32, frozen. Weights by the formula of `reference`."""
    described = facts(method)["clips"][facts(method)["cases"][case]["clip"]]
    model = open_clip.CLIP(**reference.model_config(described["architecture"]))
    state = {
        name: torch.from_numpy(reference.weights(name, tuple(tensor.shape), described["weight_seed"]))
        for name, tensor in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def given(method: str, case: str) -> dict[str, Tensor]:
    """The learned tensors of a case by their official names, at the values given by formula; they ask for gradients."""
    about, found = facts(method)["cases"][case], {}
    for name, learned in about["learned"].items():
        (base, scale), seed = learned["given"], (zlib.crc32(name.encode()) + about["given_seed"]) % 2**32
        noise = np.random.RandomState(seed).standard_normal(learned["shape"])
        found[name] = torch.from_numpy((base + scale * noise).astype(np.float32)).requires_grad_()
    return found


def pixels() -> Tensor:
    """The six pictures to classify, (6, 3, 32, 32)."""
    return torch.from_numpy(reference.goldens()["pixels"])
