"""Converts state dicts in common formats to the names and shapes of an open_clip model.

`as_of` converts a state dict like open_clip.load_checkpoint, except that it never interpolates position embeddings.
"""

from collections.abc import Mapping
from typing import Any

import torch
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict
from torch import Tensor, nn

WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "module",
)  # keys under which training scripts save the state dict
OPENAI_FACTS = (
    "input_resolution",
    "context_length",
    "vocab_size",
)  # numbers in OpenAI's archives (CLIP, clip/model.py:424)
NO_WEIGHTS = (
    "attn_mask",
    "text.attn_mask",
    "text.transformer.embeddings.position_ids",
)  # of older versions of open_clip
COMPILED = "_orig_mod."  # torch.compile adds this prefix to each compiled module
ANCHOR = "logit_scale"  # every CLIP has exactly one


def unwrapped(content: Any) -> dict[str, Tensor]:
    """The tensors of a state dict without its wrappers; {} if there are none."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        content = inner
    return {}


def of_openai(state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors come from one of OpenAI's TorchScript archives."""
    return any(name.endswith(OPENAI_FACTS) for name in state)


def prefix_of(state: Mapping[str, Tensor]) -> str:
    """The prefix of the model's names, such as `module.`; empty if it is ambiguous."""
    found = [name.removesuffix(ANCHOR) for name in state if name == ANCHOR or name.endswith(f".{ANCHOR}")]
    return found[0] if len(found) == 1 else ""


def as_of(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict with the model's names. Tensors that do not belong to the model remain."""
    own = model.state_dict()
    state = {name.replace(COMPILED, ""): tensor for name, tensor in state.items()}
    prefix = prefix_of(state)
    if all(name.startswith(prefix) for name in state):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    state = convert_state_dict(model, state)
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    elif "text.positional_embedding" in state and not hasattr(model, "text"):
        state = {name.removeprefix("text."): tensor for name, tensor in state.items()}
    state = {name: tensor for name, tensor in state.items() if name in own or name not in (*OPENAI_FACTS, *NO_WEIGHTS)}
    if getattr(model, "logit_bias", None) is not None and "logit_bias" not in state:
        state["logit_bias"] = torch.zeros_like(
            own["logit_bias"]
        )  # weights trained with CLIP's loss in a model for SigLIP's
    numbers = {name for name, tensor in state.items() if name in own and tensor.numel() == own[name].numel() == 1}
    return {name: tensor.reshape(own[name].shape) if name in numbers else tensor for name, tensor in state.items()}
