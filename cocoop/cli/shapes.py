"""What each stage's --settings takes, as JSON schemas: the workflow writes them, and hands may get them wrong."""

from collections.abc import Mapping
from typing import Any

from cocoop.cli.arguments import SETTINGS, parsed
from cocoop.config.validation import of_key, validate
from cocoop.errors import UserError

TEXT, OBJECT, WHOLE = {"type": "string"}, {"type": "object"}, {"type": "integer", "minimum": 0}
SEEDS = {"type": "array", "items": WHOLE, "minItems": 1}
SUBSET = {"enum": ["all", "base", "new"]}


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    """An object of exactly these keys."""
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": list(properties)}


DATASET = _object(name=TEXT, settings=OBJECT)
PRECISION = {"enum": ["fp32", "bf16", "fp16", "reference-fp16"]}
BACKBONE = _object(name=TEXT, model=TEXT, pretrained={"type": ["string", "null"]}, precision=PRECISION)
IMAGES = _object(backbone=BACKBONE)
EPOCHS = {"type": ["array", "null"], "items": WHOLE, "minItems": 2, "maxItems": 2}
VIEWS = _object(backbone=BACKBONE, subset=SUBSET, seeds=SEEDS, views=EPOCHS)


def dataset_of(text: str) -> dict[str, Any]:
    """The --settings of a dataset, with its YAML file's content checked as that file is."""
    content = parsed(text, DATASET)
    validate(content["settings"], "dataset", f"{SETTINGS}: settings")
    return content


def views_of(text: str) -> dict[str, Any]:
    """The --settings of augmented views: seeds as a configuration has them, epochs that are not empty."""
    content = parsed(text, VIEWS)
    _check_seeds(content)
    if content["views"] and content["views"][0] >= content["views"][1]:
        raise UserError(f"{SETTINGS}: views: {content['views']} holds no epoch; write [first, one after the last].")
    return content


def _check_seeds(content: Mapping[str, Any]) -> None:
    validate(content, {"properties": {"seeds": of_key("config", "seeds")}}, SETTINGS)
