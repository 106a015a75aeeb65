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
from cocoop.evaluation.counts import tally
from cocoop.evaluation.notes import notes_of
from cocoop.evaluation.predict import most_at_once, predict
from cocoop.images.inputs import ALIKE, TestFiles, TestImages, image_side, made_with
from cocoop.images.loading import test_images
from cocoop.manifest import Manifest
from cocoop.methods.base import Classifier, Method, Task
from cocoop.run import Evaluation, Run
from cocoop.splits import class_subset
from cocoop.text import descriptions, text_encoder
from cocoop.training.loop import autocast
from cocoop.training.run import LEARNED, same_precision, write_cost
from cocoop.training.temperature import scaled, temperatures


@dataclass(frozen=True)
class Loaded:
    """The inputs of an evaluation.

    precision: the precision of this job, as the evaluation may have `auto`; methods: one with all seeds, or one per seed if
    the method is not `stacked`; temperatures: what divides the logits of each seed.
    """

    evaluation: Evaluation
    precision: str
    methods: Sequence[Method]
    images: TestImages
    learned: Path | None
    budget_mb: int
    notes: list[str]
    temperatures: Mapping[int, float]


@dataclass(frozen=True)
class Predicted:
    """Predictions of one subset: index (n,) of its test images, their truth (n,), and by seed the predicted labels (n,) and their
    probability (n,). All labels are the dataset's.
    """

    subset: str
    labels: Tensor
    index: Tensor
    truth: Tensor
    by_seed: Mapping[int, tuple[Tensor, Tensor]]


def evaluate(evaluation: Evaluation, files: TestFiles, out: Path, device: str, budget_mb: int) -> None:
    """Tests a run on subsets of its target and writes metrics.json, predictions.safetensors and cost.json into `out`.

    budget_mb: memory for the text tower's activations.
    """
    start = time.perf_counter()
    loaded = load(evaluation, files, device, budget_mb)
    predicted = [predict_subset(loaded, subset) for subset in evaluation.subsets]
    write(out, loaded, predicted)
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
    built = [_method(run, each, tensors, files.learned) for each in _tasks(run, task)]
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


def _tasks(run: Run, task: Task) -> Iterator[Task]:
    if run.stacked:
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
    """Predictions of all seeds on the test images of a subset, among its classes."""
    evaluation, images = loaded.evaluation, loaded.images
    labels = torch.tensor(class_subset(range(len(images.classnames)), subset), dtype=torch.long)
    if not len(labels):
        raise UserError(
            f"dataset {evaluation.target!r}: subset {subset!r} has no class ({len(images.classnames)} in all)."
        )
    index = torch.isin(images.truth, labels).nonzero()[:, 0]
    if not len(index):
        raise UserError(f"dataset {evaluation.target!r}: subset {subset!r} has no test image.")
    found = Predicted(subset, labels, index, images.truth[index], {})
    by_seed: dict[int, tuple[Tensor, Tensor]] = {}
    for method in loaded.methods:
        predicted, confidence = _predicted(loaded, method, found)
        by_seed |= {seed: (labels[predicted[i]], confidence[i]) for i, seed in enumerate(method.seeds)}
    return replace(found, by_seed=by_seed)


def _predicted(loaded: Loaded, method: Method, asked: Predicted) -> tuple[Tensor, Tensor]:
    """Predicted class inside the subset (S, n) and its probability (S, n)."""
    run, seeds, device = loaded.evaluation.run, method.seeds, method.text.device
    where = f"evaluate {run.variant} on {loaded.evaluation.target}/{asked.subset}"
    classnames, precision = [loaded.images.classnames[label] for label in asked.labels], loaded.precision
    embed_dim, tokens = method.text.embed_dim, loaded.images.tokens
    at_once = most_at_once(len(seeds), len(classnames), embed_dim, tokens, loaded.budget_mb)
    method.noise.restart("evaluation")
    with seeded(device, "evaluation", seeds):
        with autocast(precision, device):
            classifier = _classifier(method, classnames, f"{loaded.learned}: {where}" if loaded.learned else where)
            if run.temperature != "none":
                classifier = scaled(classifier, [loaded.temperatures[seed] for seed in seeds])
        batches = loaded.images.batches(asked.index, at_once)
        return predict(classifier, batches, len(asked.index), len(seeds), precision, where)


@torch.no_grad()
def _classifier(method: Method, classnames: Sequence[str], where: str) -> Classifier:
    try:
        return method.for_classes(classnames)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def write(out: Path, loaded: Loaded, predicted: Sequence[Predicted]) -> None:
    """Writes predictions.safetensors and metrics.json."""
    run, shapes = loaded.evaluation.run, loaded.methods[0].shapes()
    sizes = {name: torch.Size(shape).numel() for name, shape in shapes.items()}
    tensors: dict[str, Tensor] = {}
    for one in predicted:
        tensors |= {f"{one.subset}.index": one.index.int(), f"{one.subset}.labels": one.truth.int()}
        for seed, (guess, confidence) in one.by_seed.items():
            tensors[f"seed{seed}.{one.subset}.predicted"] = guess.int()
            tensors[f"seed{seed}.{one.subset}.confidence"] = confidence
    io.write_tensors(out / "predictions.safetensors", tensors, {"kind": "predictions", "run": run.to_dict()})
    io.write_json(
        out / "metrics.json",
        {
            "schema": 1,
            "kind": "metrics",
            "run": run.to_dict(),
            "variant": {"name": run.variant, "method": run.method},
            "precision": loaded.precision,
            "parameters": {
                "trained": sum(sizes.values()),
                "without_biases": sum(size for name, size in sizes.items() if not name.endswith("bias")),
                "tensors": shapes,
            },
            "records": [record for one in predicted for record in records_of(loaded, one)],
            "notes": loaded.notes,
            "code": provenance.numeric_code(),
        },
    )


def records_of(loaded: Loaded, one: Predicted) -> Iterator[dict[str, Any]]:
    """A record with counts and metrics for each seed.

    selection: empty for a method that has no hyper-parameters to choose.
    """
    run = loaded.evaluation.run
    described = {key: getattr(run, key) for key in ("dataset", "subset", "variant", "method", "shots")}
    described["draw"] = run.draw.text
    chosen = {seed: values for method in loaded.methods for seed, values in method.chosen().items()}
    for seed, (guess, _) in one.by_seed.items():
        tested = {"seed": seed, "target": loaded.evaluation.target, "target_subset": one.subset}
        counts = tally(one.truth.tolist(), guess.tolist(), one.labels.tolist(), loaded.images.classnames)
        selected = {"selection": run.selection if chosen[seed] else "", "chosen": chosen[seed]}
        if run.temperature != "none":
            selected["chosen"] = chosen[seed] | {"temperature": float(f"{loaded.temperatures[seed]:.6g}")}
        yield {"backbone": run.backbone.name, **described, **selected, **tested, **counts}
