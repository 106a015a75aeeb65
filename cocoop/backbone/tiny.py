"""The bundled tiny CLIPs: ordinary open_clip models whose weights are stored compactly (see tiny_clip/MODEL_CARD.md).

Of the 49,408 token embeddings, only those of words in the pretraining captions were trained. The file contains these
rows with their token ids, all in half precision; `expand` restores the complete state dict.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from cocoop import io

ASSETS = io.REPOSITORY / "cocoop" / "assets"
NAME = "tiny_clip"
WEIGHTS = ASSETS / NAME / "weights.safetensors"
KIND = "tiny_clip"
VOCABULARY = 49408
TABLE = "token_embedding.weight"
ROWS, ROW_IDS = "token_embedding.rows", "token_embedding.row_ids"


def config(name: str) -> Path:
    """The architecture of a bundled model in open_clip's format: tiny_clip, or tiny_clip_vit with a vision transformer."""
    return ASSETS / name / f"{name}.json"


CONFIG = config(NAME)


def save_compact(path: str | Path, state: Mapping[str, torch.Tensor], token_ids: Sequence[int]) -> None:
    """Writes a state dict whose token embeddings are only the rows of `token_ids`: (len(token_ids), D), in this order."""
    tensors = {name: _half(tensor) for name, tensor in state.items() if name != TABLE}
    tensors[ROWS] = _half(state[TABLE])
    tensors[ROW_IDS] = torch.tensor(token_ids, dtype=torch.int32)
    io.write_tensors(path, tensors, {"kind": KIND, "vocabulary": VOCABULARY})


def expand(path: str | Path = WEIGHTS) -> dict[str, torch.Tensor]:
    """The complete open_clip state dict in float32; token embeddings (49408, D) are zero outside the trained rows.

    Raises a UserError for a missing or corrupt file.
    """
    tensors, metadata = io.read_tensors(path, KIND)
    rows, ids = tensors.pop(ROWS).float(), tensors.pop(ROW_IDS).long()
    table = torch.zeros(metadata["vocabulary"], rows.shape[1])
    table[ids] = rows
    return {name: _full(tensor) for name, tensor in tensors.items()} | {TABLE: table}


def materialise(out: str | Path, path: str | Path = WEIGHTS) -> None:
    """Writes the expanded weights as an ordinary safetensors checkpoint.

    After `open_clip.add_model_config(tiny.CONFIG)`, `open_clip.create_model("tiny_clip", pretrained=out)` loads it.
    """
    io.write_tensors(out, expand(path), {"kind": "open_clip"})


def rounded(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict rounded to half precision, as `expand` returns it."""
    return {name: _full(_half(tensor)) for name, tensor in state.items()}


def _half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


def _full(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
