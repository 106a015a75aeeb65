"""The `evaluate` stage: learned tensors and test images in; metrics, predictions and cost out."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cocoop import io, methods, provenance
from cocoop.errors import UserError
from cocoop.evaluation.counts import tally
from cocoop.evaluation.notes import notes_of
from cocoop.evaluation.predict import most_at_once, predict
from cocoop.images.inputs import ALIKE, TestFiles, TestImages, image_side, made_with
from cocoop.images.loading import test_images
from cocoop.manifest import Manifest
from cocoop.methods.base import Classifier, Method
from cocoop.run import Evaluation, Run
from cocoop.splits import class_subset
from cocoop.text import text_encoder
from cocoop.text.text_encoder import TextEncoder
from cocoop.training.run import LEARNED, write_cost

if TYPE_CHECKING:
    from cocoop.backbone.model import Backbone


@dataclass
class Results:
    """What an evaluation writes: records by seed and subset, and tensors of predictions."""

    records: list[dict[str, Any]] = field(default_factory=list)
    predictions: dict[str, Tensor] = field(default_factory=dict)


def evaluate(evaluation: Evaluation, files: TestFiles, out: Path, device: str, budget_mb: int) -> None:
    """Tests a run on subsets of its target and writes metrics.json, predictions.safetensors and cost.json into `out`.

    budget_mb: memory for the text tower's activations.
    """
    start, run = time.perf_counter(), evaluation.run
    text = text_encoder.load(files.text_tower, run.backbone.settings, device, budget_mb)
    whole = image_side(run, text.fingerprint, device)
    method, made = _method(evaluation, files, text, whole)
    images = test_images(run, files, _expected(evaluation, files, text, made), text.table, whole)
    results = Results()
    for subset in evaluation.subsets:
        _test(evaluation, files, method, images, subset, results, budget_mb)
    notes = notes_of(evaluation, files.manifest, made, text, images.classnames)
    _write(out, run, method, results, notes)
    write_cost(out / "cost.json", run, device, start)


def _method(
    evaluation: Evaluation, files: TestFiles, text: TextEncoder, whole: "Backbone | None"
) -> tuple[Method, dict[str, Any]]:
    """The method as it was trained, and how its training images were made; nothing for an untrained one."""
    run, template = evaluation.run, (*evaluation.templates, "")[0]
    if files.learned is None:
        if run.trainable:
            raise UserError(f"{run.variant} is trained: give --learned.")
        return methods.build(run, text, template, (), whole), {}
    tensors, metadata = io.read_tensors(files.learned, LEARNED)
    trained = Run.from_dict(metadata["run"], f"{files.learned}: run")
    if trained != run:
        differ = [part.name for part in fields(Run) if getattr(trained, part.name) != getattr(run, part.name)]
        raise UserError(f"{files.learned}: was trained with other settings ({', '.join(differ)}); train it again.")
    method = methods.build(run, text, template, metadata["classnames"], whole)
    method.load_learned({name: tensor.to(text.device) for name, tensor in tensors.items()}, str(files.learned))
    return method, metadata["made"]


def _expected(evaluation: Evaluation, files: TestFiles, text: TextEncoder, made: dict[str, Any]) -> dict[str, Any]:
    """What the test images must be made of; made: of the training images, empty for an untrained run."""
    run, target = evaluation.run, evaluation.target
    alike = {key: made[key] for key in ALIKE if made and (key != "manifest" or target == run.dataset)}
    if files.manifest:
        now = Manifest.load(files.manifest)
        if now.dataset != target:
            raise UserError(f"{files.manifest}: lists dataset {now.dataset!r}, but this run tests on {target!r}.")
        if alike.get("manifest") not in (None, now.fingerprint):
            raise UserError(
                f"{files.learned}: was trained on images of another manifest than {files.manifest}; train it again."
            )
        alike |= {"manifest": now.fingerprint}
    return {"dataset": target, **made_with(run, text.fingerprint), **alike}


def _test(
    evaluation: Evaluation,
    files: TestFiles,
    method: Method,
    images: TestImages,
    subset: str,
    results: Results,
    budget_mb: int,
) -> None:
    run, names = evaluation.run, images.classnames
    labels = torch.tensor(class_subset(range(len(names)), subset), dtype=torch.long)
    where = f"dataset {evaluation.target!r}: subset {subset!r}"
    if not len(labels):
        raise UserError(f"{where} has no class ({len(names)} in all).")
    index = torch.isin(images.truth, labels).nonzero()[:, 0]
    if not len(index):
        raise UserError(f"{where} has no test image.")
    where = f"evaluate {run.variant} on {evaluation.target}/{subset}"
    classifier = _classifier(
        method, [names[label] for label in labels], f"{files.learned}: {where}" if files.learned else where
    )
    runs = len(method.seeds)
    batches = images.batches(index, most_at_once(runs, len(labels), method.text.embed_dim, budget_mb))
    predicted, confidence = predict(classifier, batches, len(index), runs, run.backbone.precision, where)
    results.predictions |= {f"{subset}.index": index.int(), f"{subset}.labels": images.truth[index].int()}
    described = {key: getattr(run, key) for key in ("dataset", "subset", "variant", "method", "shots")}
    for i, seed in enumerate(method.seeds):
        guess = labels[predicted[i]]
        results.predictions[f"seed{seed}.{subset}.predicted"] = guess.int()
        results.predictions[f"seed{seed}.{subset}.confidence"] = confidence[i]
        tested = {"seed": seed, "target": evaluation.target, "target_subset": subset}
        counts = tally(images.truth[index].tolist(), guess.tolist(), labels.tolist(), names)
        results.records.append({"backbone": run.backbone.name, **described, **tested, **counts})


def _classifier(method: Method, classnames: Sequence[str], where: str) -> Classifier:
    try:
        return method.for_classes(classnames)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _write(out: Path, run: Run, method: Method, results: Results, notes: list[str]) -> None:
    shapes = method.shapes()
    sizes = {name: torch.Size(shape).numel() for name, shape in shapes.items()}
    predictions = {"kind": "predictions", "run": run.to_dict()}
    io.write_tensors(out / "predictions.safetensors", results.predictions, predictions)
    io.write_json(
        out / "metrics.json",
        {
            "schema": 1,
            "kind": "metrics",
            "run": run.to_dict(),
            "variant": {"name": run.variant, "method": run.method},
            "parameters": {
                "trained": sum(sizes.values()),
                "without_biases": sum(size for name, size in sizes.items() if not name.endswith("bias")),
                "tensors": shapes,
            },
            "records": results.records,
            "notes": notes,
            "code": provenance.numeric_code(),
        },
    )
