"""What a variant cannot do, refused before the first job."""

from collections.abc import Mapping, Sequence
from typing import Any

from cocoop.config import architectures, paper
from cocoop.config.code import imports
from cocoop.config.draw import ALL, CLIP_LORA, COOP
from cocoop.config.measures import OF_BOTH
from cocoop.config.specs import DatasetSpec, VariantSpec
from cocoop.errors import UserError, unknown
from cocoop.run import Evaluation, Run

CHANGES_TRANSFORMERS = "cocoop.backbone.vision"  # what a method imports that changes the layers of a vision transformer


def movable(evaluation: Evaluation, variant: VariantSpec, where: str) -> None:
    """Raises a UserError if a class-bound variant is tested on other classes than those it was trained on."""
    run = evaluation.run
    moved = evaluation.target != run.dataset or set(evaluation.subsets) != {run.subset}
    if moved and variant.class_bound:
        raise UserError(
            f"{where}: variant {run.variant!r} is tied to the classes it was trained on "
            f"({run.dataset}/{run.subset}) and cannot be tested on {evaluation.target}/{evaluation.subsets_text}."
        )


def distinct(labels: Mapping[str, str], where: str, word: str = "label") -> None:
    """Raises a UserError if two names have the same label, by which tables and figures tell them apart."""
    names: dict[str, str] = {}
    for name, label in labels.items():
        if (other := names.setdefault(label, name)) != name:
            raise UserError(f"{where}: {other} and {name} have the same {word} {label!r}; give one of them another.")


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
    """Raises a UserError if a run would select, or fit a temperature, on validation images of a dataset without any."""
    if run.selection == "val" and dataset.without_val:
        raise UserError(
            f"{where}: variant {run.variant!r} has selection: val, but {run.dataset} has no validation split; write "
            f"variants: {{{run.variant}: {{per_dataset: {{{run.dataset}: {{selection: none}}}}}}}}, or hold_one_out there."
        )
    if run.temperature == "val" and dataset.without_val:
        raise UserError(
            f"{where}: variant {run.variant!r} has temperature: val, but {run.dataset} has no validation split to fit it on; "
            f"leave the variant out there."
        )


def drawable_on(run: Run, dataset: DatasetSpec, where: str) -> None:
    """Raises a UserError for a dataset whose images CLIP-LoRA's code draws in another way (ImageNet)."""
    if run.draw.like == CLIP_LORA and dataset.without_val:
        raise UserError(
            f"{where}: drawn_like: clip_lora: {run.dataset} has no validation split, and CLIP-LoRA's code draws such a dataset in "
            "a way that is not offered; leave out the dataset or the key."
        )


def changeable(run: Run, where: str) -> None:
    """Raises a UserError if a variant that changes the layers of a vision transformer gets one of CLIP's ResNets.

    Other image towers that no method can change are only known when their model is built (`cocoop.backbone.vision_reading`).
    """
    resnet = run.inputs == "images" and architectures.is_resnet(run.backbone)
    if resnet and CHANGES_TRANSFORMERS in imports(run.implementation, where):
        raise UserError(
            f"{where}: variant {run.variant!r} changes a vision transformer, but the image tower of backbone "
            f"{run.backbone.name!r} ({run.backbone.model}) is a ResNet; leave out the variant or the backbone."
        )


def drawable(content: Mapping[str, Any], place: str) -> None:
    """Raises a UserError for keys of an experiment that contradict each other."""
    others = [key for key in ("label_noise", "imbalance", "class_shots") if content.get(key)]
    others += ["drawn_like"] * (content.get("drawn_like", COOP) != COOP)
    if content.get("draws") is not None and others:
        raise UserError(
            f"{place}: {others[0]} does not go with draws, whose files contain the images and labels; remove one."
        )
    if "drawn_like" in others and ALL in content["shots"]:
        raise UserError(
            f"{place}: drawn_like: {CLIP_LORA} does not go with shots: all, which draws nothing; remove one."
        )
    subsets = {content["train_subset"], *content["target_subsets"]}
    if content.get("halves", "first") not in ("first", ["first"]) and subsets == {"all"}:
        raise UserError(f"{place}.halves: nothing is trained or tested on base or new classes; remove the key.")
    for name in content.get("class_shots", {}):
        if name not in content["train_datasets"]:
            raise unknown("training dataset", name, content["train_datasets"], f"{place}.class_shots")
