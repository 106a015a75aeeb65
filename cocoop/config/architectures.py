"""Configs of open_clip's architectures, read from its files: importing open_clip takes seconds and loads torch."""

import importlib.util
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cocoop import places
from cocoop.config.specs import BackboneSpec


def config(spec: BackboneSpec) -> Mapping[str, Any]:
    """The config of a backbone's architecture; empty if it is unknown before the model is downloaded (`hf-hub:`)."""
    if spec.model.endswith(".json"):
        path = places.found(spec.model) or Path(spec.model)
    else:
        path = _of_open_clip(spec.model.replace("/", "-"))
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def is_resnet(spec: BackboneSpec) -> bool:
    """Whether the image tower is one of CLIP's ResNets, as far as the config says; they have a list of layers per stage."""
    return isinstance(config(spec).get("vision_cfg", {}).get("layers"), list)


def _of_open_clip(model: str) -> Path:
    folder = package()
    return folder / "model_configs" / f"{model}.json" if folder else Path(f"{model}.json")


@cache
def package() -> Path | None:
    """The folder of the installed open_clip; None without it."""
    spec = importlib.util.find_spec("open_clip")
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
