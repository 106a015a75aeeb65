"""The preprocessing that a backbone's weights expect: mean, std, interpolation and resize mode.

open_clip stores it in its table of tags, not with the weights. For a checkpoint given by path, the values come from the
backbone's YAML file, from an open_clip config in the folder of the weights, or from the tags of the model if they all agree.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import open_clip
from open_clip.transform import PreprocessCfg

from cocoop.config.specs import BackboneSpec
from cocoop.config.validation import of_key, validate
from cocoop.errors import UserError, listed, unknown

logger = logging.getLogger(__name__)
KEYS = ("mean", "std", "interpolation", "resize_mode")
BESIDE = "open_clip_config.json"  # the name on the Hugging Face hub
DEFAULT = {key: value for key, value in asdict(PreprocessCfg()).items() if key in KEYS}


def resolve(spec: BackboneSpec, name: str, path: Path | None, tag: Mapping[str, Any]) -> dict[str, Any]:
    """The values of KEYS, from the YAML file, else from the tag, else from a config in the folder of the weights.

    name: name of the architecture.
    path: path of the weights; None for random weights.
    tag: open_clip's values of the tag; {} without a tag.
    Raises a UserError if none of them gives the values: a path for an architecture whose tags differ.
    """
    own = _written(spec, name)
    open_keys = [key for key in KEYS if key not in own]
    if path is None or not open_keys:
        return DEFAULT | own
    if tag:
        return DEFAULT | _chosen(tag) | own
    beside = path.with_name(BESIDE)
    if beside.is_file():
        found, source = _config(beside, name), str(beside)
    else:
        found, source = _agreed(spec, name, open_keys), f"the tags of {name}"
        if not found:
            source = f"open_clip's default, because {name} has no tags"
    resolved = DEFAULT | found | own
    values = ", ".join(f"{key} {_shown(resolved[key])}" for key in open_keys)
    logger.info("backbone %s: %s (from %s)", spec.name, values, source)
    return resolved


def _written(spec: BackboneSpec, name: str) -> dict[str, Any]:
    """The values in the backbone's YAML file: those of a tag, or some of KEYS."""
    tag = spec.preprocessing
    if not isinstance(tag, str):
        return dict(tag or {})
    if facts := open_clip.get_pretrained_cfg(name, tag):
        return _chosen(facts)
    where, tags = f"backbone {spec.name!r}: preprocessing", open_clip.list_pretrained_tags_by_model(name)
    if tags:
        raise unknown(f"{name} tag", tag, tags, where)
    raise UserError(f"{where}: {name} has no tags in open_clip; write {', '.join(KEYS)} instead of {tag!r}.")


def _config(path: Path, name: str) -> dict[str, Any]:
    """preprocess_cfg of an open_clip config. Raises a UserError if it describes a model with another activation function."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = _chosen(content["preprocess_cfg"])
        quick = content.get("model_cfg", {}).get("quick_gelu", False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: expected open_clip's config with `preprocess_cfg` ({type(error).__name__}: {error}); fix it or delete it."
        ) from error
    validate(found, {**of_key("backbone", "preprocessing"), "minProperties": 0}, f"{path}: preprocess_cfg")
    if "model_cfg" in content and quick != open_clip.get_model_config(name).get("quick_gelu", False):
        raise UserError(
            f"{path}: describes a model {'with' if quick else 'without'} QuickGELU, but {name} is a model "
            f"{'without' if quick else 'with'} it; use the model {'with' if quick else 'without'} the suffix -quickgelu."
        )
    return found


def _agreed(spec: BackboneSpec, name: str, keys: Sequence[str]) -> dict[str, Any]:
    """The values of these keys in all tags of an architecture; {} without tags. Raises a UserError if they differ."""
    by_values: dict[str, list[str]] = {}
    facts: dict[str, Any] = {}
    for tag in open_clip.list_pretrained_tags_by_model(name):
        facts = {key: value for key, value in _chosen(open_clip.get_pretrained_cfg(name, tag)).items() if key in keys}
        by_values.setdefault(", ".join(f"{key} {_shown(facts[key])}" for key in keys), []).append(tag)
    if len(by_values) > 1:
        choices = "; ".join(f"{listed(tags, 4)} ({values})" for values, tags in by_values.items())
        raise UserError(
            f"backbone {spec.name!r}: pretrained is a path, but the tags of {name} differ in their preprocessing; set "
            f"`preprocessing: TAG` to the tag of these weights, or set {', '.join(keys)} under `preprocessing`. Tags: {choices}."
        )
    return facts


def _chosen(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The values of KEYS as in YAML."""
    return {key: list(facts[key]) if isinstance(facts[key], tuple) else facts[key] for key in KEYS if key in facts}


def _shown(value: Any) -> str:
    """[0.48145466, ..] as 0.481/...: three digits are enough to distinguish models."""
    return (
        "/".join(f"{number:.3g}" for number in value)
        if isinstance(value, Sequence) and not isinstance(value, str)
        else value
    )
