"""Recognises the content of a file without a complete open_clip model from names only, and says what to do instead."""

import pickletools
import re
import zipfile
from collections.abc import Collection
from pathlib import Path

PROMPTS = "contains learned prompts (CoOp, CoCoOp or similar), not a backbone; give the weights of the CLIP they were learned on"
PROMPT_TENSORS = {"ctx", "token_prefix", "token_suffix"}  # in the state dicts of CoOp and CoCoOp (coop.py:66-100)
TRANSFORMERS = re.compile(r"(^|\.)(text|vision)_model\.")
TIMM = ("patch_embed.", "blocks.0.", "stages.0.", "stem.")
SCALES = {"logit_scale", "logit_bias"}


def of_tensors(names: Collection[str], own: Collection[str]) -> str | None:
    """A sentence about a state dict with these names; None if it is not recognised. own: the names of the model's tensors."""
    strange = set(names) - set(own)
    if any("lora_" in name or "adapter" in name for name in strange):
        return "contains a LoRA or adapter, not a complete model; merge it into its model and save all weights"
    if any("prompt_learner" in name.split(".") or name.split(".")[-1] in PROMPT_TENSORS for name in strange):
        return PROMPTS
    if any(map(TRANSFORMERS.search, strange)):
        return (
            "has the format of Hugging Face's transformers; use open_clip_model.safetensors or open_clip_pytorch_model.bin from "
            "the same repository, or give a tag"
        )
    return _tower(names, own)


def of_keys(keys: Collection[str]) -> str | None:
    """A sentence about a file without a state dict, from its keys; None if it is not recognised."""
    if {"state", "param_groups"} <= set(keys) or any("optim" in key for key in keys):
        return "contains only the state of an optimizer; use the file with the model's weights"
    return None


def of_pickle(path: Path) -> str | None:
    """A sentence about a torch file with Python objects; None if it is not recognised. Disassembles its pickle without running it.

    The CoOp authors' code saves its learning rate scheduler, a Python object, together with the prompts.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            program = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
        texts = {argument for operation, argument, _ in pickletools.genops(program) if "UNICODE" in operation.name}
    except (
        Exception
    ):  # these can raise nearly any error for a corrupt archive or pickle, and only a better message is lost
        return None
    return PROMPTS if {"ctx", "token_prefix"} <= {str(text).removeprefix("prompt_learner.") for text in texts} else None


def _tower(names: Collection[str], own: Collection[str]) -> str | None:
    """A sentence about a file with the tensors of one tower, named with or without the model's prefix; None otherwise."""
    visual = {name for name in own if name.startswith("visual.")}
    text = set(own) - visual - SCALES
    for tower, tensors, other, prefixes in (
        ("image", visual, "text", ("", "visual.", "visual.trunk.")),
        ("text", text, "image", ("", "text.")),
    ):
        if tensors and any(tensors == {f"{prefix}{name}" for name in names} - SCALES for prefix in prefixes):
            return f"contains only the {tower} tower, but the {other} tower is needed too; use the file of the complete model"
    if (
        any(name.startswith(TIMM) for name in names)
        and not set(names) & set(own)
        and not any("text" in n for n in names)
    ):
        return "contains only an image tower in timm's format; use the file of a complete CLIP model"
    return None
