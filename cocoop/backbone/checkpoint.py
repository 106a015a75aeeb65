"""Weights from a file into a model, without ever running code that the file brings along."""

import pickle
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.factory import load_state_dict
from safetensors import SafetensorError, safe_open
from torch import nn

from cocoop import io
from cocoop.backbone import tiny
from cocoop.errors import UserError, listed

OPENAI_HOST = "openaipublic"
SCRIPT_MARK = "TorchScript"
MOST_SHOWN = 3


def fill(model: nn.Module, path: Path) -> None:
    """Loads every tensor of a checkpoint; one that is damaged, unsafe or of another architecture is a UserError.

    OpenAI's own files are TorchScript archives, which are programs. One is opened only when its sha256 is that of a
    file which OpenAI published, as listed by open_clip; it then is what open_clip itself would download and open.
    """
    if _is_compact(path):
        model.load_state_dict(tiny.expand(path), strict=True)
        return
    official = path.suffix == ".pt" and io.sha256_file(path) in _published()
    if official and not _quick_gelu(model):
        raise UserError(f"{path}: OpenAI's weights need QuickGELU; take the model whose name ends in -quickgelu.")
    state = _read(path, official)
    _compare_shapes(model, state, path)
    try:
        with warnings.catch_warnings(action="ignore"):
            open_clip.load_checkpoint(model, str(path), strict=True, weights_only=not official)
    except (RuntimeError, KeyError, AttributeError) as error:
        raise _other_architecture(model, state, path) from error


def _is_compact(path: Path) -> bool:
    """Whether the file is written like the bundled tiny CLIP's weights."""
    try:
        if path.suffix != ".safetensors":
            return False
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("kind") == io.canonical_json(tiny.KIND)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


@cache
def _published() -> frozenset[str]:
    """sha256 of OpenAI's files: the folder in their addresses (CLIP, clip/clip.py:56)."""
    urls = (open_clip.get_pretrained_url(model, "openai") for model in open_clip.list_openai_models())
    return frozenset(url.split("/")[-2] for url in urls if OPENAI_HOST in url)


def _read(path: Path, official: bool) -> dict[str, torch.Tensor]:
    try:
        with warnings.catch_warnings(action="ignore"):
            state = load_state_dict(str(path), weights_only=not official)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: refused, because it is damaged or holds other Python objects than tensors, which could run "
            "foreign code; convert it to safetensors where you trust it."
        ) from error
    except RuntimeError as error:
        if SCRIPT_MARK in str(error):
            raise UserError(
                f"{path}: refused, because a TorchScript archive is a program and this one is not a file OpenAI "
                "published; convert it to safetensors where you trust it."
            ) from error
        raise _damaged(path, error) from error
    except Exception as error:  # a damaged file makes torch's readers raise nearly anything
        raise _damaged(path, error) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path}: holds no state dict (tensors by name).")
    return dict(state)


def _compare_shapes(model: nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> None:
    # open_clip would stretch position embeddings of another size without a word.
    own = model.state_dict()
    other = [
        f"{name} is {_shape(tensor)} there and {_shape(own[name])} in the model"
        for name, tensor in state.items()
        if name in own and tensor.shape != own[name].shape and not (tensor.numel() == own[name].numel() == 1)
    ]
    if other:
        raise UserError(f"{path}: weights of another architecture: {'; '.join(other[:MOST_SHOWN])}{_more(other)}.")


def _other_architecture(model: nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> UserError:
    own = model.state_dict()
    missing, extra = [n for n in own if n not in state], [n for n in state if n not in own]
    sides = (("it lacks", missing), ("it has", extra))
    parts = [f"{what} {listed(names, MOST_SHOWN)}" for what, names in sides if names]
    return UserError(f"{path}: weights of another architecture: {'; '.join(parts) or 'open_clip cannot convert them'}.")


def _quick_gelu(model: nn.Module) -> bool:
    return any(type(module).__name__ == "QuickGELU" for module in model.modules())


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: damaged, or no checkpoint ({type(error).__name__}); fetch it again.")


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _more(items: list[Any]) -> str:
    return f" (+{len(items) - MOST_SHOWN} more)" if len(items) > MOST_SHOWN else ""
