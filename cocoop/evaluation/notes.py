"""Notes on an evaluation for readers: notes of the manifests, and classes that the backbone cannot tell apart."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from cocoop.config import prompts
from cocoop.manifest import Manifest
from cocoop.run import Evaluation
from cocoop.text import distinguish
from cocoop.text.text_encoder import TextEncoder

logger = logging.getLogger(__name__)
TEMPLATE = "a photo of a {}."  # the same for all methods, so that all runs of an experiment have the same note


def notes_of(
    evaluation: Evaluation,
    manifest: Manifest | None,
    made: Mapping[str, Any],
    text: TextEncoder,
    classnames: Sequence[str],
) -> list[str]:
    """Sorted and logged. manifest: the target's; made: how the training images were made, with the notes of their manifest."""
    run, target = evaluation.run, evaluation.target
    remarks = {run.dataset: made.get("notes", ())}
    if manifest:
        remarks[target] = manifest.notes
    notes = {f"{dataset}: {note}" for dataset, found in remarks.items() for note in found}
    notes |= set(_general_ensemble(evaluation))
    notes |= set(distinguish.warnings(text, classnames, TEMPLATE, run.backbone.name, target))
    for note in sorted(notes):
        logger.warning("%s", note)
    return sorted(notes)


def _general_ensemble(evaluation: Evaluation) -> list[str]:
    """A note if a variant takes the ensemble of a dataset that has none of its own."""
    templates = evaluation.templates
    if len(templates) < 2 or templates != prompts.general(templates[-1]):
        return []
    return [
        f"{evaluation.target}: has no `ensemble:`, so an ensemble there averages its template and {len(templates) - 1} general "
        "ones, as in the CoOp authors' code"
    ]
