"""What a file holds that has no complete open_clip model in it, told by names alone, with what to do instead."""

import pickletools
import re
import zipfile
from collections.abc import Collection
from pathlib import Path

PROMPTS = (
    "holds learned prompts (CoOp, CoCoOp or alike), not a backbone; give the weights of the CLIP they were learned on"
)
PROMPT_TENSORS = {"ctx", "token_prefix", "token_suffix"}  # CoOp's and CoCoOp's state dict (coop.py:66-100)
TRANSFORMERS = re.compile(r"(^|\.)(text|vision)_model\.")
TIMM = ("patch_embed.", "blocks.0.", "stages.0.", "stem.")
SCALES = {"logit_scale", "logit_bias"}


def of_tensors(names: Collection[str], own: Collection[str]) -> str | None:
    """A sentence about a state dict with these names; None if it is nothing known. own: the names of the model's tensors."""
    strange = set(names) - set(own)
    if any("lora_" in name or "adapter" in name for name in strange):
        return "holds a LoRA or adapter, which is no model by itself; merge it into its model and save all weights"
    if any("prompt_learner" in name.split(".") or name.split(".")[-1] in PROMPT_TENSORS for name in strange):
        return PROMPTS
    if any(map(TRANSFORMERS.search, strange)):
        return (
            "has the format of Hugging Face's transformers; take open_clip_model.safetensors or open_clip_pytorch_model.bin of "
            "the same repository, or write a tag"
        )
    return _tower(names, own)


def of_keys(keys: Collection[str]) -> str | None:
    """A sentence about a file without a state dict, by its keys."""
    if {"state", "param_groups"} <= set(keys) or any("optim" in key for key in keys):
        return "holds the state of an optimizer only; take the file of the model's weights"
    return None


def of_pickle(path: Path) -> str | None:
    """A sentence about a torch file that holds Python objects. Its pickle is disassembled, never run.

    The CoOp authors' code saves its learning rate scheduler, an object, beside the prompts.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            program = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
        texts = {argument for operation, argument, _ in pickletools.genops(program) if "UNICODE" in operation.name}
    except (
        Exception
    ):  # a damaged archive or pickle makes these raise nearly anything, and this is only for a better message
        return None
    return PROMPTS if {"ctx", "token_prefix"} <= {str(text).removeprefix("prompt_learner.") for text in texts} else None


def _tower(names: Collection[str], own: Collection[str]) -> str | None:
    """For a file with the tensors of one tower alone, named with or without the model's prefix."""
    visual = {name for name in own if name.startswith("visual.")}
    text = set(own) - visual - SCALES
    for tower, tensors, other, prefixes in (
        ("image", visual, "text", ("", "visual.", "visual.trunk.")),
        ("text", text, "image", ("", "text.")),
    ):
        if tensors and any(tensors == {f"{prefix}{name}" for name in names} - SCALES for prefix in prefixes):
            return (
                f"holds the {tower} tower only, and the {other} tower is needed too; take the file of the whole model"
            )
    if (
        any(name.startswith(TIMM) for name in names)
        and not set(names) & set(own)
        and not any("text" in n for n in names)
    ):
        return "holds an image tower only, in timm's format; take the file of a whole CLIP model"
    return None
