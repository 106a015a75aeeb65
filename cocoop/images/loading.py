"""Loads the images of a run or an evaluation: cached features or live pixels, depending on the method."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from cocoop.errors import UserError
from cocoop.images import cached
from cocoop.images.held_out import hold_one_out
from cocoop.images.inputs import ALIKE, TestFiles, TestImages, TrainingFiles, TrainingImages
from cocoop.run import Run
from cocoop.splits import noisy

if TYPE_CHECKING:
    from cocoop.backbone.model import Backbone
    from cocoop.text.text_encoder import TextEncoder


def training_images(run: Run, files: TrainingFiles, text: "TextEncoder", whole: "Backbone | None") -> TrainingImages:
    """The training data of a run. Raises a UserError for a missing option, and Unequal if the seeds have different numbers of
    images.
    """
    source = text.fingerprint, text.device
    if whole is None:
        if not files.views:
            raise UserError(f"{run.variant} takes image features; add --views.")
        images = cached.load_views(run, files.views, *source)
    else:
        images = _live(run, files, text, whole)
    images = replace(images, labels=_noisy(run, images))
    held_out = run.selection == "hold_one_out"
    if not (run.validation or held_out):
        return images
    if files.validation is None:
        what = "training images without augmentation" if held_out else "the validation draw"
        raise UserError(f"{run.variant} uses {what}; add --validation.")
    split = "train" if held_out else "val"
    validation, facts = cached.load_validation(run, files.validation, *source, split)
    if differ := [key for key in ALIKE if facts[key] != images.made[key]]:
        raise UserError(f"{files.validation}: its {differ[0]} differs from that of the views; delete it and run again.")
    made = images.made | {"views": cached.digest(run, [images.made["views"], facts])}
    images = replace(images, validation=validation, made=made)
    if not held_out:
        return images
    plain, labels = validation
    return hold_one_out(images, plain, run.seeds, cached.originals(run, files.validation, facts, labels))


def _noisy(run: Run, images: TrainingImages) -> Tensor:
    """Labels (S, N) with the run's label noise; validation images keep the right ones."""
    if not run.draw.noise:
        return images.labels
    pairs = zip(images.labels.tolist(), run.seeds, strict=True)
    return images.labels.new_tensor([noisy(own, len(images.classnames), run.draw, seed) for own, seed in pairs])


def _live(run: Run, files: TrainingFiles, text: "TextEncoder", whole: "Backbone") -> TrainingImages:
    if not (files.manifest and files.root and files.fewshot):
        raise UserError(f"{run.variant} takes images; give --manifest, --fewshot and --root instead of --views.")
    from cocoop.images.live import load_live

    images = load_live(run, files, whole)
    if not run.cached_views:
        return images
    if not files.views:
        raise UserError(f"{run.variant} takes images and their frozen features; add --views.")
    features = cached.load_views(run, files.views, text.fingerprint, text.device)
    if differ := [key for key in ALIKE if features.made[key] != images.made[key]]:
        raise UserError(f"{files.views[0]}: its {differ[0]} differs from that of the images; delete it and run again.")
    made = images.made | {"views": cached.digest(run, [images.made["views"], features.made["views"]])}
    frozen = features.source if "frozen_features" in run.needs else None
    return replace(images, frozen=frozen, second=features.second, made=made)


def test_images(
    run: Run, files: TestFiles, expect: Mapping[str, Any], like: Tensor, whole: "Backbone | None"
) -> TestImages:
    """The test images of a run. expect: metadata that they must have; like: a tensor with the device and dtype of features."""
    if whole is None:
        if files.features is None:
            raise UserError(f"{run.variant} takes image features; add --features.")
        return cached.load_test(files.features, expect, like)
    if not (files.manifest and files.root):
        raise UserError(f"{run.variant} takes images; give --manifest and --root instead of --features.")
    from cocoop.images import live

    return live.load_test(files, expect, whole)


test_images.__test__ = False  # type: ignore[attr-defined]  # pytest
