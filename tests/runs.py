"""Runs for tests, without a plan."""

from dataclasses import replace
from typing import Any

from cocoop.config import BackboneSpec, Registry
from cocoop.config.specs import VariantSpec
from cocoop.run import Evaluation, Run

BACKBONE = BackboneSpec("tiny", "tiny", None)


def run_of(variant: str | VariantSpec, **changes: Any) -> Run:
    """A run of a registered variant; `changes` replaces fields of the run."""
    spec = Registry().variants[variant] if isinstance(variant, str) else variant
    run = Run(
        backbone=BACKBONE, dataset="flags", data="", subset="all", templates=("a photo of a {}.",), descriptions=None,
        template=None,
        variant=spec.name, method=spec.method, implementation=spec.implementation, version=spec.version, code=spec.code,
        inputs=spec.inputs, stacked=spec.stacked, needs=spec.needs, params=dict(spec.params), training=spec.training,
        selection=spec.selection, temperature=spec.temperature,
        views=0, shots=1 if spec.trainable else 0, seeds=(1, 2) if spec.trainable else (0,),
    )  # fmt: skip
    return replace(run, **changes)


def evaluation_of(
    run: Run, *subsets: str, target: str = "", templates: tuple[str, ...] | None = None, together: bool = False
) -> Evaluation:
    """The run tested on a target, by default its own dataset."""
    given = run.templates if templates is None else templates
    return Evaluation(run, target or run.dataset, "", given, None, run.template, subsets, together)
