"""What each stage's --settings takes, as JSON schemas: the workflow writes them, and hands may get them wrong."""

from collections.abc import Mapping
from typing import Any

from cocoop.cli.arguments import SETTINGS, parsed
from cocoop.config.registry import Registry, check_params
from cocoop.config.specs import TrainingSpec
from cocoop.config.validation import definition, of_key, validate
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
BACKBONE["properties"]["preprocessing"] = of_key("backbone", "preprocessing")  # only where the YAML file has it
IMAGES = _object(backbone=BACKBONE)
EPOCHS = {"type": ["array", "null"], "items": WHOLE, "minItems": 2, "maxItems": 2}
VIEWS = _object(backbone=BACKBONE, subset=SUBSET, seeds=SEEDS, views=EPOCHS)
RUNS = _object(
    backbone=BACKBONE, dataset=TEXT, subset=SUBSET, variant=TEXT, label=TEXT, method=TEXT, implementation=TEXT, version=WHOLE,
    inputs={"enum": ["features", "images"]},
    params=OBJECT, training={"type": ["object", "null"]}, views=WHOLE, shots=WHOLE, seeds=SEEDS,
)  # fmt: skip


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


def run_of(text: str) -> dict[str, Any]:
    """The --settings of runs, with training and parameters checked as in a method's file."""
    content = parsed(text, RUNS)
    _check_seeds(content)
    validate(content, {"properties": {"implementation": of_key("method", "class")}}, SETTINGS)
    if content["training"] is not None:
        shape = {**definition("method", "training"), "required": list(TrainingSpec.__dataclass_fields__)}
        validate(content["training"], shape, f"{SETTINGS}: training")
    registry, method = Registry(), content["method"]
    if method in registry.names("methods"):  # of a method from elsewhere, its class says what it takes
        _check_method(content, registry.read("methods", method, SETTINGS))
    return content


def _check_seeds(content: Mapping[str, Any]) -> None:
    validate(content, {"properties": {"seeds": of_key("config", "seeds")}}, SETTINGS)


def _check_method(content: Mapping[str, Any], file: Mapping[str, Any]) -> None:
    check_params(content["params"], file, f"{SETTINGS}: params")
    by_gradient = file["learns"] == "by_gradient"
    if by_gradient != (content["training"] is not None):
        wants = "needs its settings of SGD" if by_gradient else "must be null"
        raise UserError(f"{SETTINGS}: training: {content['method']} learns {file['learns']}; it {wants}.")
