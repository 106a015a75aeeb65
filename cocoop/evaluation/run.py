"""The `evaluate` stage: reads learned tensors and test images, writes metrics, predictions and cost."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocoop import io, methods, provenance
from cocoop.device import seeded
from cocoop.errors import UserError
from cocoop.evaluation.notes import notes_of
from cocoop.evaluation.predict import Answers, comparable, most_at_once, predict
from cocoop.evaluation.results import Predicted, named, write
from cocoop.images.inputs import ALIKE, TestFiles, TestImages, image_side, made_with
from cocoop.images.loading import test_images
from cocoop.manifest import Manifest
from cocoop.methods.base import Classifier, Method, Task
from cocoop.run import Evaluation, Run
from cocoop.splits import class_subset
from cocoop.text import descriptions, text_encoder
from cocoop.training.blocks import alike
from cocoop.training.loop import autocast
from cocoop.training.run import LEARNED, same_precision, write_cost
from cocoop.training.temperature import scaled, temperatures


@dataclass(frozen=True)
class Loaded:
    """The inputs of an evaluation.

    precision: the precision of this job, as the evaluation may have `auto`; methods: one with all seeds, or one per seed if
    the method is not `stacked`, or their tensors differ in shape; temperatures: what divides the logits of each seed.
    """

    evaluation: Evaluation
    precision: str
    methods: Sequence[Method]
    images: TestImages
    learned: Path | None
    budget_mb: int
    notes: list[str]
    temperatures: Mapping[int, float]


def evaluate(evaluation: Evaluation, files: TestFiles, out: Path, device: str, budget_mb: int) -> None:
    """Tests a run on subsets of its target and writes metrics.json, predictions.safetensors and cost.json into `out`.

    budget_mb: memory for the text tower's activations.
    """
    start = time.perf_counter()
    loaded = load(evaluation, files, device, budget_mb)
    code = provenance.code_of(files.features, files.learned)
    predicted = [predict_subset(loaded, subset) for subset in evaluation.subsets]
    classnames, precision = loaded.images.classnames, loaded.precision
    write(out, evaluation, loaded.methods, classnames, predicted, loaded.notes, precision, loaded.temperatures, code)
    write_cost(out / "cost.json", evaluation.run, device, start, loaded.methods[0].text.about)


def load(evaluation: Evaluation, files: TestFiles, device: str, budget_mb: int) -> Loaded:
    """Reads everything and checks that it belongs together."""
    tensors, metadata = _learned(evaluation.run, files.learned, device)
    run = evaluation.run.on(device)
    text = text_encoder.load(files.text_tower, run.backbone.settings, device, budget_mb)
    whole = image_side(run, text.fingerprint, device)
    made, manifest = metadata.get("made", {}), Manifest.load(files.manifest) if files.manifest else None
    expect = _expected(evaluation, files, manifest, made) | made_with(run, text.fingerprint)
    images = test_images(run, files, expect, text.table, whole)
    described = descriptions.of(evaluation.descriptions, files.descriptions, images.classnames)
    trained_on = tuple(metadata.get("classnames", ()))
    task = Task(
        text, run.seeds, trained_on, described or evaluation.templates, evaluation.template or "", whole, evaluation.target,
        transfer=run.trainable and evaluation.target != run.dataset,
    )  # fmt: skip
    built = [_method(run, each, tensors, files.learned) for each in _tasks(run, task, tensors)]
    notes = notes_of(evaluation, manifest, made, text, images.classnames)
    divisors = dict(zip(run.seeds, temperatures(run, tensors, run.seeds, str(files.learned)), strict=True))
    return Loaded(evaluation, run.backbone.precision, built, images, files.learned, budget_mb, notes, divisors)


def _learned(run: Run, path: Path | None, device: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A run's tensors and what their file says about them; nothing for an untrained run."""
    if path is None:
        if run.trainable:
            raise UserError(f"{run.variant} is trained: give --learned.")
        return {}, {}
    tensors, metadata = io.read_tensors(path, LEARNED)
    trained = Run.from_dict(metadata["run"], f"{path}: run")
    if trained != run:
        differ = [part.name for part in fields(Run) if getattr(trained, part.name) != getattr(run, part.name)]
        raise UserError(f"{path}: was trained with other settings ({', '.join(differ)}); train it again.")
    same_precision(run, metadata, device, path)
    return tensors, metadata


def _tasks(run: Run, task: Task, tensors: Mapping[str, Tensor]) -> Iterator[Task]:
    if run.stacked and alike(tensors, run.seeds):
        yield task
    else:
        yield from (replace(task, seeds=(seed,)) for seed in run.seeds)


def _method(run: Run, task: Task, tensors: dict[str, Tensor], path: Path | None) -> Method:
    """The method as it was trained."""
    device = task.text.device
    with seeded(device, "start", task.seeds), autocast(run.backbone.precision, device):
        method = methods.build(run, task)
    if path is not None:
        method.load_learned(tensors, str(path))
    return method.eval()


def _expected(
    evaluation: Evaluation, files: TestFiles, now: Manifest | None, made: Mapping[str, Any]
) -> dict[str, Any]:
    """What the test images must be made of.

    now: the target's manifest. made: how the training images were made, empty for an untrained run.
    """
    target = evaluation.target
    alike = {key: made[key] for key in ALIKE if made and (key != "manifest" or target == evaluation.run.dataset)}
    if now:
        if now.dataset != target:
            raise UserError(f"{files.manifest}: lists dataset {now.dataset!r}, but this run tests on {target!r}.")
        if alike.get("manifest") not in (None, now.fingerprint):
            raise UserError(
                f"{files.learned}: was trained on images of another manifest than {files.manifest}; train it again."
            )
        alike |= {"manifest": now.fingerprint}
    return {"dataset": target, **alike}


def predict_subset(loaded: Loaded, subset: str) -> Predicted:
    """Predictions of all seeds on the test images of a subset: among its classes and, if asked for, those of the other half."""
    evaluation, images = loaded.evaluation, loaded.images
    labels = _labels(loaded, subset)
    if not len(labels):
        raise UserError(
            f"dataset {evaluation.target!r}: subset {subset!r} has no class ({len(images.classnames)} in all)."
        )
    index = torch.isin(images.truth, labels).nonzero()[:, 0]
    if not len(index):
        raise UserError(f"dataset {evaluation.target!r}: subset {subset!r} has no test image.")
    others = [found for half in evaluation.among(subset)[1:] if len(found := _labels(loaded, half))]
    found = Predicted(subset, labels, index, images.truth[index], {})
    by_seed: dict[int, Answers] = {}
    for method in loaded.methods:
        answers = _predicted(loaded, method, found, *others)
        for i, seed in enumerate(method.seeds):
            by_seed[seed] = named(answers.of_seed(i), labels, *others)
    return replace(found, by_seed=by_seed)


def _labels(loaded: Loaded, subset: str) -> Tensor:
    return torch.tensor(class_subset(range(len(loaded.images.classnames)), subset), dtype=torch.long)


def _predicted(loaded: Loaded, method: Method, asked: Predicted, *others: Tensor) -> Answers:
    """The answers (S, n) of a method, with classes as positions; others: labels of the other half, if they are asked for."""
    run, seeds, device = loaded.evaluation.run, method.seeds, method.text.device
    where = f"evaluate {run.variant} on {loaded.evaluation.target}/{asked.subset}"
    at = f"{loaded.learned}: {where}" if loaded.learned else where
    lists = [[loaded.images.classnames[label] for label in labels] for labels in (asked.labels, *others)]
    precision, embed_dim, tokens = loaded.precision, method.text.embed_dim, loaded.images.tokens
    at_once = most_at_once(len(seeds), max(map(len, lists)), embed_dim, tokens, loaded.budget_mb)
    method.noise.restart("evaluation")
    with seeded(device, "evaluation", seeds):
        with autocast(precision, device):
            classifier, *found = [_classifier(method, names, at) for names in lists]
            other = next((one for one in found if comparable(classifier, one)), None)
        if run.temperature != "none":
            divisors = [loaded.temperatures[seed] for seed in seeds]
            classifier, other = scaled(classifier, divisors), other and scaled(other, divisors)
        batches = loaded.images.batches(asked.index, at_once)
        truth = torch.searchsorted(asked.labels, asked.truth)
        return predict(classifier, batches, truth, len(seeds), precision, where, other)


@torch.no_grad()
def _classifier(method: Method, classnames: Sequence[str], where: str) -> Classifier:
    try:
        return method.for_classes(classnames)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
