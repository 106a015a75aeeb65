"""Paired comparison of two variants: the same seeds, the same test images (bootstrap and McNemar's test)."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cocoop import io, progress
from cocoop.errors import UserError
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import paired_text
from cocoop.reporting.records.arrays import read_arrays

RESAMPLES = 2000
CONFIDENCE = 0.95
BOOTSTRAP_SEED = 0
BATCH_ELEMENTS = 20_000_000
COLUMNS = [
    "dataset", "target", "target_subset", "shots", "first", "second", "seed", "images", "first_accuracy", "second_accuracy",
    "difference", "interval_low", "interval_high", "only_first", "only_second", "mcnemar_p",
]  # fmt: skip
ALL_SEEDS = "all"


class Place(NamedTuple):
    """What was tested where; dataset is the one trained on, empty for an untrained variant."""

    target: str
    target_subset: str
    variant: str
    shots: int
    dataset: str


class Answers(NamedTuple):
    """correct[seed] (N,) bool: which images a seed got right; index (N,): their positions in the test split."""

    index: np.ndarray
    correct: dict[int, np.ndarray]


def build(experiment_json: Path, metrics_paths: Sequence[Path], out_dir: Path) -> pd.DataFrame:
    """Compares every two variants of an experiment and writes paired.csv (fractions) and paired.md (per cent).

    metrics_paths: metrics.json files with predictions.safetensors beside them.
    """
    experiment = experiments.load(experiment_json)
    frame = compare(experiment, read(experiment, metrics_paths))
    io.write_text(Path(out_dir) / "paired.csv", frame.to_csv(index=False, lineterminator="\n"))
    io.write_text(Path(out_dir) / "paired.md", paired_text.to_markdown(experiment, frame, RESAMPLES))
    return frame


def read(experiment: Mapping[str, Any], metrics_paths: Sequence[Path]) -> dict[Place, Answers]:
    """Which test images the runs of an experiment got right."""
    backbone = experiment["backbone"]["name"]
    wanted = {_place(expected) for expected in experiment["expected"]}
    found: dict[Place, Answers] = {}
    for path in progress.track(metrics_paths, "predictions", "file"):
        records = [
            r for r in io.read_json(path, "metrics")["records"] if r["backbone"] == backbone and _place(r) in wanted
        ]
        if not records:
            continue
        predictions = path.with_name("predictions.safetensors")
        arrays, _ = read_arrays(predictions, "predictions")
        for record in records:
            subset, seed = record["target_subset"], record["seed"]
            try:
                index, labels = arrays[f"{subset}.index"], arrays[f"{subset}.labels"]
                predicted = arrays[f"seed{seed}.{subset}.predicted"]
            except KeyError as error:
                raise UserError(
                    f"{predictions}: no {error} in it, which metrics.json beside it speaks of; run its job again."
                ) from error
            tested = found.setdefault(_place(record), Answers(index, {}))
            if not np.array_equal(tested.index, index):
                raise UserError(
                    f"{predictions}: other test images than another file of the same runs; run its job again."
                )
            tested.correct[seed] = predicted == labels
    return found


def compare(experiment: Mapping[str, Any], tested: Mapping[Place, Answers]) -> pd.DataFrame:
    """One row per pair, target subset and seed with McNemar's exact test, and one over all seeds with a bootstrap interval.

    difference: accuracy of the second variant minus that of the first. An untrained variant has one set of predictions, which
    is compared with every seed of the other. Pairs without a common seed are left out. Columns `COLUMNS`, fractions.
    """
    rows = []
    for first, second in progress.track(list(_pairs(experiment, tested)), "compare", "pair"):
        rows += _rows(first, second, tested[first], tested[second])
    return pd.DataFrame(rows, columns=COLUMNS).astype({"only_first": "Int64", "only_second": "Int64"})


def _place(record: Mapping[str, Any]) -> Place:
    """An untrained variant is the same whatever it is compared on."""
    dataset = record["dataset"] if record["shots"] else ""
    return Place(record["target"], record["target_subset"], record["variant"], record["shots"], dataset)


def _pairs(experiment: Mapping[str, Any], tested: Mapping[Place, Answers]) -> Iterator[tuple[Place, Place]]:
    """Every two variants tested on the same images after the same training data, in the experiment's order."""
    order = list(experiments.named(experiment["variants"]))
    targets = list(experiments.dataset_titles(experiment))
    places = sorted(tested, key=lambda p: (targets.index(p.target), p.target_subset, p.shots, order.index(p.variant)))
    for _, same_images in groupby(places, key=lambda place: place[:2]):
        for one, other in combinations(same_images, 2):
            if one.variant != other.variant and (0 in (one.shots, other.shots) or one[3:] == other[3:]):
                yield one, other


def _rows(first: Place, second: Place, one: Answers, other: Answers) -> Iterator[dict[str, Any]]:
    if not np.array_equal(one.index, other.index):
        raise UserError(
            f"{first.variant} and {second.variant} were tested on other images of {first.target}; run their jobs again."
        )
    trained = max(first, second, key=lambda place: place.shots)
    described = {
        "dataset": trained.dataset, "target": first.target, "target_subset": first.target_subset, "shots": trained.shots,
        "first": first.variant, "second": second.variant, "images": len(one.index),
    }  # fmt: skip
    pairs = {seed: (a, b) for seed, a, b in _common(first, second, one, other)}
    if not pairs or not len(one.index):
        return
    differences = np.mean([b.astype(float) - a for a, b in pairs.values()], axis=0)
    low, high = _bootstrap(differences)
    yield {
        **described, "seed": ALL_SEEDS, "first_accuracy": np.mean([a.mean() for a, _ in pairs.values()]),
        "second_accuracy": np.mean([b.mean() for _, b in pairs.values()]), "difference": differences.mean(),
        "interval_low": low, "interval_high": high,
    }  # fmt: skip
    for seed, (a, b) in sorted(pairs.items()):
        only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
        yield {
            **described, "seed": seed, "first_accuracy": a.mean(), "second_accuracy": b.mean(), "difference": b.mean() - a.mean(),
            "only_first": only_first, "only_second": only_second, "mcnemar_p": _mcnemar(a, b),
        }  # fmt: skip


def _common(first: Place, second: Place, one: Answers, other: Answers) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    for seed in other.correct if not first.shots else one.correct:
        a = next(iter(one.correct.values())) if not first.shots else one.correct[seed]
        b = next(iter(other.correct.values())) if not second.shots else other.correct.get(seed)
        if b is not None:
            yield seed, a, b


def _bootstrap(differences: np.ndarray) -> tuple[float | None, float | None]:
    """Percentile interval of the mean over resampled images; the seeds are kept as they are."""
    from scipy.stats import bootstrap

    if len(differences) < 2:
        return None, None
    result = bootstrap(
        (differences,), np.mean, n_resamples=RESAMPLES, confidence_level=CONFIDENCE, method="percentile", vectorized=True,
        batch=max(1, BATCH_ELEMENTS // len(differences)), rng=np.random.default_rng(BOOTSTRAP_SEED),
    )  # fmt: skip
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _mcnemar(one: np.ndarray, other: np.ndarray) -> float:
    from statsmodels.stats.contingency_tables import mcnemar

    table = [[(one & other).sum(), (one & ~other).sum()], [(~one & other).sum(), (~one & ~other).sum()]]
    return float(mcnemar(table, exact=True).pvalue)
