"""What each stage's --settings takes, as JSON schemas: the workflow writes them, and hands may get them wrong."""

from collections.abc import Mapping
from typing import Any

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
RUNS = _object(
    backbone=BACKBONE, dataset=TEXT, subset=SUBSET, variant=TEXT, label=TEXT, method=TEXT, implementation=TEXT, version=WHOLE,
    inputs={"enum": ["features", "images"]},
    params=OBJECT, training={"type": ["object", "null"]}, views=WHOLE, shots=WHOLE, seeds=SEEDS,
)  # fmt: skip
