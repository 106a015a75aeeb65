"""Writes what an evaluation found: metrics.json and predictions.safetensors."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cocoop import io
from cocoop.config.measures import OF_BOTH
from cocoop.evaluation import measures
from cocoop.evaluation.counts import tally
from cocoop.evaluation.predict import Answers
from cocoop.methods.base import Method
from cocoop.run import Evaluation
from cocoop.splits import half_of

logger = logging.getLogger(__name__)
KEPT = {  # the names of the answers in predictions.safetensors
    "predicted": "predicted", "confidence": "confidence", "log_probability": "log_probability", "rank": "rank",
    "largest": "largest_logit", "logsumexp": "logsumexp", "squares": "squared_probabilities",
    "other_predicted": "other.predicted", "other_largest": "other.largest_logit", "other_logsumexp": "other.logsumexp",
}  # fmt: skip


@dataclass(frozen=True)
class Predicted:
    """Predictions of one subset.

    Attributes:
        labels: the labels of its classes; all labels are the dataset's.
        index: places (n,) of its test images in the test split.
        truth: their labels (n,).
        by_seed: the answers (n,) of each seed, with labels.
    """

    subset: str
    labels: Tensor
    index: Tensor
    truth: Tensor
    by_seed: Mapping[int, Answers]


def named(answers: Answers, labels: Tensor, *others: Tensor) -> Answers:
    """Answers with the labels of classes instead of their positions among `labels`, and among those of the other half."""
    other = None if answers.other_predicted is None else others[0][answers.other_predicted]
    return answers._replace(predicted=labels[answers.predicted], other_predicted=other)


def write(
    out: Path,
    evaluation: Evaluation,
    methods: Sequence[Method],
    classnames: Sequence[str],
    predicted: Sequence[Predicted],
    notes: Sequence[str],
    precision: str,
    temperatures: Mapping[int, float],
    code: str,
) -> None:
    """Writes predictions.safetensors and metrics.json.

    methods: one with all seeds, or one per seed; classnames: the target's; notes: for readers of the results; precision: that
    of this job; temperatures: what divides the logits of each seed; code: result of `provenance.code_of`.
    """
    run = evaluation.run
    tensors: dict[str, Tensor] = {}
    for one in predicted:
        tensors |= {f"{one.subset}.index": one.index.int(), f"{one.subset}.labels": one.truth.int()}
        for seed, answers in one.by_seed.items():
            kept = {KEPT[name]: tensor for name, tensor in answers._asdict().items() if tensor is not None}
            tensors |= {f"seed{seed}.{one.subset}.{name}": _compact(tensor) for name, tensor in kept.items()}
    io.write_tensors(out / "predictions.safetensors", tensors, {"kind": "predictions", "run": run.to_dict()})
    io.write_json(
        out / "metrics.json",
        {
            "schema": 1,
            "kind": "metrics",
            "run": run.to_dict(),
            "variant": {"name": run.variant, "method": run.method},
            "precision": precision,
            "parameters": parameters_of(methods[0]) | {"tensors": methods[0].shapes()},
            "records": list(records_of(evaluation, methods, classnames, predicted, temperatures)),
            "notes": sorted([*notes, *_not_comparable(evaluation, predicted)]),
            "code": code,
        },
    )


def parameters_of(method: Method) -> dict[str, int]:
    """The numbers of trained parameters of a seed, with and without biases."""
    sizes = {name: torch.Size(shape).numel() for name, shape in method.shapes().items()}
    without_biases = sum(size for name, size in sizes.items() if not name.endswith("bias"))
    return {"trained": sum(sizes.values()), "without_biases": without_biases}


def records_of(
    evaluation: Evaluation,
    methods: Sequence[Method],
    classnames: Sequence[str],
    predicted: Sequence[Predicted],
    temperatures: Mapping[int, float],
) -> Iterator[dict[str, Any]]:
    """A record with counts and measures for each subset and seed.

    selection: empty for a method that has no hyper-parameters to choose. measures: by name; None is shown blank. parameters:
    `parameters_of` a seed, if it differs from that of the first one.
    """
    run = evaluation.run
    described = {key: getattr(run, key) for key in ("dataset", "subset", "variant", "method", "shots")}
    described["draw"] = run.draw.text
    chosen = {seed: values for method in methods for seed, values in method.chosen().items()}
    both = of_both(predicted) if evaluation.together else {}
    first, *others = ((method.seeds, parameters_of(method)) for method in methods)
    differing = {seed: {"parameters": found} for seeds, found in others if found != first[1] for seed in seeds}
    for one in predicted:
        for seed, answers in one.by_seed.items():
            tested = {"seed": seed, "target": evaluation.target, "target_subset": one.subset}
            counts = tally(one.truth.tolist(), answers.predicted.tolist(), one.labels.tolist(), classnames)
            selected = {"selection": run.selection if chosen[seed] else "", "chosen": chosen[seed]}
            if run.temperature != "none":
                selected["chosen"] = chosen[seed] | {"temperature": float(f"{temperatures[seed]:.6g}")}
            found = _measured(one.truth, answers)
            found["measures"] |= both.get((one.subset, seed), {})
            of_seed = differing.get(seed, {})
            yield {"backbone": run.backbone.name, **described, **selected, **tested, **counts, **found, **of_seed}


def of_both(predicted: Sequence[Predicted]) -> dict[tuple[str, int], dict[str, float | None]]:
    """The measures of both halves together by subset and seed; None where their logits cannot be compared."""
    found: dict[tuple[str, int], dict[str, float | None]] = {}
    first, second = sorted(halves_of(predicted), key=lambda one: one.subset)  # base or base-K, new or new-K
    for seed in first.by_seed:
        base, new = (_half(one, seed) for one in (first, second))
        measured = measures.of_both(base, new) if base and new else [dict.fromkeys(OF_BOTH)] * 2
        found |= {(one.subset, seed): dict(values) for one, values in zip((first, second), measured, strict=True)}
    return found


def halves_of(predicted: Sequence[Predicted]) -> list[Predicted]:
    """The predictions of the base and new classes."""
    return [one for one in predicted if half_of(one.subset)[0] in ("base", "new")]


def _measured(truth: Tensor, answers: Answers) -> dict[str, Any]:
    right, confidence = (answers.predicted == truth).numpy(), answers.confidence.numpy()
    kept = (tensor.numpy() for tensor in (answers.log_probability, answers.rank, answers.squares))
    return {
        "measures": measures.of_classes(right, confidence, *kept),
        "reliability": measures.reliability(right, confidence),
        "risk_coverage": measures.risk_coverage(right, confidence),
    }


def _half(one: Predicted, seed: int) -> measures.Half | None:
    answers = one.by_seed[seed]
    if answers.other_largest is None or answers.other_logsumexp is None:
        return None
    logits = answers.largest, answers.logsumexp, answers.other_largest, answers.other_logsumexp
    return measures.Half(_right(one, answers), *(tensor.numpy() for tensor in logits))


def _right(one: Predicted, answers: Answers) -> np.ndarray:
    return (answers.predicted == one.truth).numpy()


def _compact(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_floating_point() else tensor.int()


def _not_comparable(evaluation: Evaluation, predicted: Sequence[Predicted]) -> list[str]:
    """A note if the halves were to be put together, but their logits cannot be compared."""
    halves = halves_of(predicted) if evaluation.together else []
    if all(answers.other_largest is not None for one in halves for answers in one.by_seed.values()):
        return []
    note = (
        f"{evaluation.run.variant}: joint accuracy, AUROC and OpenworldAUC are blank, because it classifies base "
        "classes with more than it has for new ones, so the logits of the two cannot be compared"
    )
    logger.warning("%s", note)
    return [note]
