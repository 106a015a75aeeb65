"""Safetensors files of `cocoop.io.write_tensors` as numpy arrays, because tables and figures do without torch."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from cocoop import io
from cocoop.errors import UserError


def read_arrays(path: Path, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and metadata of a file; one that is missing, damaged or of another kind is a UserError."""
    try:
        with safe_open(path, "np") as file:
            text = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        metadata = _metadata(text, kind)
        if text[io.CHECKSUM] != _digest(arrays, text):
            raise ValueError("checksum")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such {kind} file.") from error
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, kind) from error
    return arrays, metadata


def _metadata(text: dict[str, str], kind: str) -> dict[str, Any]:
    metadata = {key: json.loads(value) for key, value in text.items() if key != io.CHECKSUM}
    if metadata.get("kind") != kind:
        raise ValueError("kind")
    return metadata


def _digest(arrays: dict[str, np.ndarray], text: dict[str, str]) -> str:
    """The digest of io.write_tensors: canonical metadata, then each tensor's name, torch type, shape and bytes."""
    described = {key: value for key, value in text.items() if key != io.CHECKSUM}
    digest = hashlib.sha256(io.canonical_json(described).encode("utf-8", "surrogatepass"))
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} torch.{array.dtype} {list(array.shape)}".encode("utf-8", "surrogatepass"))
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _damaged(path: Path, kind: str) -> UserError:
    return UserError(f"{path}: damaged, or no {kind} file of this benchmark; delete it and run again.")
