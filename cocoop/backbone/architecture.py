"""Finds the open_clip architecture and the weights of a backbone."""

import json
from pathlib import Path
from typing import Any

import open_clip

from cocoop import places
from cocoop.backbone import hub
from cocoop.config.openclip import CHECKPOINT_SUFFIXES, QUICK_GELU, is_checkpoint
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError, listed, unknown

BUILT_IN = frozenset(open_clip.list_models())


def register(spec: BackboneSpec) -> str:
    """The architecture's name in open_clip; a JSON config is registered under its file name, one of the hub under its repository.

    Raises a UserError for an unknown architecture.
    """
    where = f"backbone {spec.name!r}: model"
    name = spec.model.replace("/", "-")  # OpenAI writes ViT-B/16
    if hub.is_hub(spec):
        name = _register_config(hub.config(spec), where)
    elif spec.model.endswith(".json"):
        name = _register_config(places.found(spec.model) or Path(spec.model), where)
    if name not in open_clip.list_models():
        raise unknown("open_clip model", spec.model, open_clip.list_models(), where)
    return name


def foreign_tokenizer(name: str) -> str | None:
    """The Hugging Face tokenizer of an open_clip model; None if the model uses CLIP's byte-pair tokenizer."""
    text = open_clip.get_model_config(name)["text_cfg"]
    named = "of SigLIP" if "siglip" in name.lower() else None  # open_clip.get_tokenizer also uses the name
    return text.get("hf_tokenizer_name") or text.get("hf_model_name") or named


def weights(spec: BackboneSpec, name: str) -> tuple[Path | None, dict[str, Any]]:
    """The checkpoint's path (None for random weights) and, for a tag, open_clip's preprocessing values.

    Downloads a tag into open_clip's cache unless it is already there. A path is looked up as in `places.found`.
    """
    if hub.is_hub(spec):
        return hub.weights(spec), {}
    if spec.pretrained is None:
        return None, {}
    facts = open_clip.get_pretrained_cfg(name, spec.pretrained)
    if facts:
        _check_activation(spec, name, spec.pretrained)
        return _download(spec, name, facts), facts
    if "/" not in spec.pretrained and not is_checkpoint(spec.pretrained):
        raise _unknown_tag(spec, name)
    path = places.found(spec.pretrained) or Path(spec.pretrained)
    if not path.is_file():
        raise UserError(
            f"backbone {spec.name!r}: pretrained: {path}: no such file; put the checkpoint there or give a tag."
        )
    if not is_checkpoint(path.name):
        raise UserError(
            f"{path}: a checkpoint must have the suffix {listed(CHECKPOINT_SUFFIXES)}; convert it, preferably to safetensors."
        )
    if isinstance(spec.preprocessing, str):
        _check_activation(spec, name, spec.preprocessing)
    return path, {}


def _register_config(path: Path, where: str) -> str:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        complete = {"embed_dim", "vision_cfg", "text_cfg"} <= set(config)
    except FileNotFoundError as error:
        raise UserError(f"{where}: {path}: no such file.") from error
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}).") from error
    if not complete:
        raise UserError(f"{path}: not an open_clip model config (embed_dim, vision_cfg and text_cfg are required).")
    if path.stem in BUILT_IN:
        raise UserError(f"{path}: open_clip already has a model {path.stem!r}; rename the file.")
    if open_clip.get_model_config(path.stem) != config:
        open_clip.add_model_config(path)
    return path.stem


def _check_activation(spec: BackboneSpec, name: str, tag: str) -> None:
    # open_clip only warns, but the accuracy drops by several points.
    wanted, facts = name + QUICK_GELU, open_clip.get_pretrained_cfg(name, tag)
    if facts.get("quick_gelu") and open_clip.get_pretrained_cfg(wanted, tag):
        raise UserError(
            f"backbone {spec.name!r}: tag {tag!r} was trained with QuickGELU, which {name} does not use; "
            f"set model: {wanted}."
        )


def _unknown_tag(spec: BackboneSpec, name: str) -> UserError:
    tags = open_clip.list_pretrained_tags_by_model(name)
    where = f"backbone {spec.name!r}: pretrained"
    if not tags:
        return UserError(
            f"{where}: {name} has no tags in open_clip; give the path of a checkpoint instead of {spec.pretrained!r}."
        )
    error = unknown(f"{name} tag", spec.pretrained, tags, where)
    plain = name.removesuffix(QUICK_GELU)
    if plain != name and open_clip.get_pretrained_cfg(plain, spec.pretrained):
        return UserError(f"{error} This tag belongs to model {plain}.")
    return error


def _download(spec: BackboneSpec, name: str, facts: dict[str, Any]) -> Path:
    try:
        return Path(open_clip.download_pretrained(facts))
    except Exception as error:  # hub client, urllib and open_clip raise different types
        sources = " or ".join(filter(None, (facts.get("hf_hub", "").rstrip("/"), facts.get("url"))))
        raise UserError(
            f"backbone {spec.name!r}: cannot download tag {spec.pretrained!r} of {name} ({first_line(error)}). "
            f"Without internet, download it elsewhere ({sources}), copy the file here, and set `pretrained` to its path and "
            f"`preprocessing: {spec.pretrained}`."
        ) from error


def first_line(error: Exception) -> str:
    """The message of another package's error, shortened to one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
