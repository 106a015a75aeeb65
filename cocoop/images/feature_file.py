"""Files of image features, written in blocks to save memory, and checked against the expected settings when read."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from cocoop import io
from cocoop.errors import UserError

SCHEMA = 1
PIECE_BYTES = 1 << 20
ITEM_BYTES = {"F16": 2, "F32": 4, "I64": 8}
TORCH_NAMES = {"F16": "torch.float16", "F32": "torch.float32", "I64": "torch.int64"}
SHOWN_CHARACTERS = 12


def load(path: str | Path, kind: str, expect: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and metadata of a file of kind "features" or "views".

    expect: metadata that the file must have, such as `backbone.identity` and the manifest's fingerprint. Raises a UserError that
        lists the differences.
    """
    tensors, metadata = io.read_tensors(path, kind)
    other = [
        f"{name.replace('_', ' ')} {shown(metadata.get(name))}, but this run uses {shown(value)}"
        for name, value in expect.items()
        if metadata.get(name) != value
    ]
    if other:
        device = " (precision auto is fp16 on a GPU and fp32 on a CPU)" * (len(other) == 1 and "precision" in other[0])
        raise UserError(f"{path}: made with {'; with '.join(other)}{device}; delete it and run again.")
    return tensors, metadata


@dataclass(frozen=True)
class Block:
    """Consecutive values of tensor `name`, beginning at the flat index `start`."""

    name: str
    start: int
    values: np.ndarray


def write(
    path: str | Path,
    labels: Mapping[str, np.ndarray],
    features: Mapping[str, tuple[int, ...]],
    blocks: Iterable[Block],
    metadata: Mapping[str, Any],
    kind: str = "F32",
) -> None:
    """Writes the same file as `io.write_tensors`, but block by block, in any order.

    labels: int64 arrays by name.
    features: shapes of tensors by name.
    blocks: the values of the features.
    kind: the type of the features, F32 or F16.
    """
    layout = _Layout(
        {name: ("I64", array.shape) for name, array in labels.items()}  # first: int64 must start at a multiple of 8
        | {name: (kind, shape) for name, shape in features.items()},
        {key: io.canonical_json(value) for key, value in metadata.items()},
    )
    with io.atomic_path(path, layout.size) as partial, partial.open("r+b") as file:
        file.truncate(layout.size)
        for block in chain((Block(name, 0, array) for name, array in labels.items()), blocks):
            file.seek(layout.place(block.name) + block.start * ITEM_BYTES[layout.tensors[block.name][0]])
            file.write(np.ascontiguousarray(block.values).data)
        digest = _digest(file, layout)
        file.seek(0)
        file.write(layout.header(digest))


@dataclass(frozen=True)
class _Layout:
    """The layout of a safetensors file: tensors by name as (type, shape), in this order, and metadata."""

    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    metadata: Mapping[str, str]

    @cached_property
    def offsets(self) -> dict[str, tuple[int, int]]:
        """Start and end of each tensor, relative to the end of the header."""
        found, end = {}, 0
        for name, (kind, shape) in self.tensors.items():
            found[name] = end, (end := end + math.prod(shape) * ITEM_BYTES[kind])
        return found

    @cached_property
    def start(self) -> int:
        """Length of the header in bytes."""
        return len(self.header())

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.start + max(end for _, end in self.offsets.values())

    def place(self, name: str) -> int:
        """Position of a tensor in the file in bytes."""
        return self.start + self.offsets[name][0]

    def header(self, checksum: str = "0" * 64) -> bytes:
        """The header of the file; its length does not depend on the checksum."""
        content: dict[str, Any] = {"__metadata__": dict(sorted({**self.metadata, io.CHECKSUM: checksum}.items()))}
        for name, (kind, shape) in self.tensors.items():
            content[name] = {"dtype": kind, "shape": list(shape), "data_offsets": list(self.offsets[name])}
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text


def _digest(file: BinaryIO, layout: _Layout) -> str:
    """The same checksum as in cocoop/io.py, computed in chunks."""
    digest = hashlib.sha256(io.canonical_json(dict(layout.metadata)).encode("utf-8", "surrogatepass"))
    for name, (kind, shape) in sorted(layout.tensors.items()):
        digest.update(f"{name} {TORCH_NAMES[kind]} {list(shape)}".encode("utf-8", "surrogatepass"))
        file.seek(layout.place(name))
        left = math.prod(shape) * ITEM_BYTES[kind]
        while left:
            piece = file.read(min(left, PIECE_BYTES))
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


def shown(value: Any) -> str:
    """A metadata value for a message; a fingerprint is shortened."""
    text = value if isinstance(value, str) else io.canonical_json(value)
    return f"{text[:SHOWN_CHARACTERS]}.." if len(text) == 64 else text
