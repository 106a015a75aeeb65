"""What a variant cannot do, refused before the first job."""

from cocoop.config.specs import VariantSpec
from cocoop.errors import UserError
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


def selectable(run: Run, where: str) -> None:
    """Raises a UserError if a run would hold out the only image of each class."""
    if run.selection == "hold_one_out" and run.shots < 2:
        raise UserError(
            f"{where}: variant {run.variant!r} on {run.dataset}: selection: hold_one_out with {run.shots} shot leaves no image to "
            f'train on; take more shots, or another selection for 1 shot: variants: {{{run.variant}: {{per_shots: {{"1": '
            "{selection: none}}}}."
        )
