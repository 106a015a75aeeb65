"""Loads weights from a file into a model without ever running code from the file.

It reads only tensors: safetensors, or torch.load(weights_only=True). A TorchScript archive is a program, and torch cannot read
its tensors without loading it, so only archives published by OpenAI are opened (by their sha256).
"""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from cocoop import io
from cocoop.backbone import formats, state_dicts, tiny
from cocoop.errors import UserError, listed

PUBLISHED = frozenset(  # sha256 of OpenAI's files, which are part of their URLs (CLIP, clip/clip.py:30-40)
    (
        "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",  # RN50
        "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",  # RN101
        "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd",  # RN50x4
        "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa",  # RN50x16
        "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c",  # RN50x64
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",  # ViT-B/32
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",  # ViT-B/16
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",  # ViT-L/14
        "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",  # ViT-L/14@336px
    )
)
SCRIPT_MARK = "TorchScript"
MOST_SHOWN = 3
PLAIN_KINDS = (io.canonical_json("open_clip"), None)


def fill(model: nn.Module, path: Path) -> None:
    """Loads all tensors of a checkpoint. Raises a UserError if it is corrupt, unsafe, incomplete or of another architecture."""
    kind = _kind(path)
    if kind == io.canonical_json(tiny.KIND):
        model.load_state_dict(tiny.expand(path), strict=True)
        return
    if kind not in PLAIN_KINDS:
        raise UserError(f"{path}: contains {kind} of this benchmark, not the weights of a model.")
    official = path.suffix == ".pt" and io.sha256_file(path) in PUBLISHED
    content = _read(path, official)
    state = state_dicts.unwrapped(content)
    if not state:
        _refuse(path, formats.of_keys(list(map(str, content))) if isinstance(content, Mapping) else None)
        raise UserError(f"{path}: not a checkpoint of a model, because it contains no state dict (tensors by name).")
    if (official or state_dicts.of_openai(state)) and not _quick_gelu(model):
        raise UserError(f"{path}: OpenAI's weights need QuickGELU; use the model with the suffix -quickgelu.")
    try:
        fitting = state_dicts.as_of(model, state)
    except (RuntimeError, KeyError, AttributeError) as error:  # from open_clip's converters
        raise UserError(f"{path}: open_clip cannot convert these weights for this model ({error!r:.200}).") from error
    _compare_names(model, fitting, path)
    _compare_shapes(model, fitting, path)
    model.load_state_dict(fitting, strict=True)


def _kind(path: Path) -> str | None:
    """The kind of a safetensors file of this project, as JSON; None for other files."""
    try:
        if path.suffix != ".safetensors":
            return None
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            return metadata.get("kind") if io.CHECKSUM in metadata else None
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _read(path: Path, official: bool) -> Any:
    """Reads a file; only OpenAI's files may be programs."""
    try:
        with warnings.catch_warnings(action="ignore"):
            if official:
                return torch.jit.load(path, map_location="cpu").state_dict()
            if path.suffix == ".safetensors":
                return load_file(path)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        _refuse(path, formats.of_pickle(path))
        raise UserError(
            f"{path}: refused, because it is corrupt or contains Python objects other than tensors, which could run "
            "malicious code; if you trust it, convert it to safetensors."
        ) from error
    except RuntimeError as error:
        if SCRIPT_MARK in str(error):
            raise UserError(
                f"{path}: refused, because a TorchScript archive is a program and OpenAI did not publish this one; "
                "if you trust it, save torch.jit.load(FILE).state_dict() with torch.save."
            ) from error
        raise _damaged(path, error) from error
    except Exception as error:  # torch can raise nearly any error for a corrupt file
        raise _damaged(path, error) from error


def _refuse(path: Path, kind: str | None) -> None:
    """Raises a UserError if the kind of the file is known."""
    if kind:
        raise UserError(f"{path}: {kind}.")


def _compare_names(model: nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> None:
    own = model.state_dict()
    missing, extra = [n for n in own if n not in state], [n for n in state if n not in own]
    if not missing and not extra:
        return
    _refuse(path, formats.of_tensors(state, own))
    lacks, has = (f"it {verb} {listed(names, MOST_SHOWN)}" for verb, names in (("lacks", missing), ("has", extra)))
    if not missing:
        raise UserError(
            f"{path}: it contains all tensors of the model, but {has} as well, which the model does not have; remove them."
        )
    if not extra:
        raise UserError(f"{path}: incomplete for this model: {lacks}.")
    prefix = state_dicts.prefix_of(state)
    if prefix and set(own) <= {name.removeprefix(prefix) for name in state}:
        others = [name for name in state if not name.startswith(prefix)]
        raise UserError(
            f"{path}: it contains all tensors of the model with the prefix {prefix!r}, but it has {listed(others, MOST_SHOWN)} as "
            "well, which the model does not have; remove them."
        )
    raise UserError(f"{path}: weights of another architecture: {lacks}; {has}.")


def _compare_shapes(model: nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> None:
    own = model.state_dict()
    other = [
        f"{name} is {_shape(tensor)} in the file and {_shape(own[name])} in the model"
        for name, tensor in state.items()
        if tensor.shape != own[name].shape
    ]
    if other:
        raise UserError(f"{path}: weights of another architecture: {'; '.join(other[:MOST_SHOWN])}{_more(other)}.")


def _quick_gelu(model: nn.Module) -> bool:
    return any(type(module).__name__ == "QuickGELU" for module in model.modules())


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: corrupt, or not a checkpoint ({type(error).__name__}); download it again.")


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _more(items: list[Any]) -> str:
    return f" (+{len(items) - MOST_SHOWN} more)" if len(items) > MOST_SHOWN else ""
