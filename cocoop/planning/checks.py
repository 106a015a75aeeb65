"""What a variant cannot do, refused before the first job."""

from collections.abc import Mapping, Sequence
from typing import Any

from cocoop.config import paper
from cocoop.config.measures import OF_BOTH
from cocoop.config.specs import DatasetSpec, VariantSpec
from cocoop.errors import UserError, unknown
from cocoop.run import Evaluation, Run


def movable(evaluation: Evaluation, variant: VariantSpec, where: str) -> None:
    """Raises a UserError if a class-bound variant is tested on other classes than those it was trained on."""
    run = evaluation.run
    moved = evaluation.target != run.dataset or set(evaluation.subsets) != {run.subset}
    if moved and variant.class_bound:
        raise UserError(
            f"{where}: variant {run.variant!r} is tied to the classes it was trained on "
            f"({run.dataset}/{run.subset}) and cannot be tested on {evaluation.target}/{evaluation.subsets_text}."
        )


def measurable(content: Mapping[str, Any], where: str) -> None:
    """Raises a UserError if an experiment asks for a measure of both halves, but does not test on both.

    content: the experiment's file.
    """
    asked = [name for name in content.get("measures", ()) if name in OF_BOTH]
    if asked and not {"base", "new"} <= set(content["target_subsets"]):
        raise UserError(
            f"{where}.measures: {asked[0]!r} compares base with new classes, but target_subsets is "
            f"{content['target_subsets']}; test on base and new, or leave it out."
        )


def published(content: Mapping[str, Any], papers: Sequence[str], where: str) -> None:
    """Raises a UserError if a published table of an experiment is unknown, or its numbers are not what they are compared with.

    content: the experiment's file; papers: names of all published tables.
    """
    main = [content["paper"]] if content.get("paper") is not None else []
    for key, names, other in (
        ("paper", main, "paper_measures"),
        ("paper_measures", content.get("paper_measures", []), "paper"),
    ):
        for name in names:
            if name not in papers:
                raise unknown("paper table", name, papers, f"{where}.{key}")
            if ((measure := paper.measure_of(name)) == paper.ACCURACY) != (key == "paper"):
                raise UserError(f"{where}.{key}: the numbers of {name!r} are of {measure}; name it under {other}.")


def selectable(run: Run, dataset: DatasetSpec, where: str) -> None:
    """Raises a UserError if a run would select on validation images of a dataset without any."""
    if run.selection == "val" and dataset.without_val:
        raise UserError(
            f"{where}: variant {run.variant!r} has selection: val, but {run.dataset} has no validation split; write "
            f"variants: {{{run.variant}: {{per_dataset: {{{run.dataset}: {{selection: none}}}}}}}}, or hold_one_out there."
        )
