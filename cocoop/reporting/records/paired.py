"""Paired comparisons of variants on the same seeds and test images."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cocoop import io, progress
from cocoop.errors import UserError
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import significance
from cocoop.splits import half_of

COLUMNS = [
    "dataset", "target", "target_subset", "shots", "draw", "first", "second", "seed", "images", "first_accuracy",
    "second_accuracy", "difference", "interval_low", "interval_high", "p", "p_holm", "seeds", "std", "seeds_low", "seeds_high",
    "detectable",
    "only_first", "only_second", "mcnemar_p", "mcnemar_p_holm",
]  # fmt: skip
WHOLE = ("seeds", "only_first", "only_second")
ALL_SEEDS = "all"


class Place(NamedTuple):
    """A variant and where it was tested. dataset: the one it was trained on; empty for an untrained variant. draw: `Draw.text`."""

    target: str
    target_subset: str
    variant: str
    shots: int
    dataset: str
    draw: str = ""


class Answers(NamedTuple):
    """The answers of a variant. index (N,): positions of the images in the test split; correct[seed] (N,) bool: right or not."""

    index: np.ndarray  # type: ignore[assignment]  # hides tuple.index
    correct: dict[int, np.ndarray]


def read(experiment: Mapping[str, Any], metrics_paths: Sequence[Path]) -> dict[Place, Answers]:
    """Which test images the runs of an experiment got right, without groups of a single class, where every answer is right."""
    backbone = experiment["backbone"]["name"]
    wanted = {_place(expected) for expected in experiment["expected"]}
    found: dict[Place, Answers] = {}
    for path in progress.track(metrics_paths, "predictions", "file"):
        tested_here = [
            record
            for record in io.read_json(path, "metrics")["records"]
            if record["backbone"] == backbone and _place(record) in wanted and len(record["classes"]) > 1
        ]
        if not tested_here:
            continue
        predictions = path.with_name("predictions.safetensors")
        arrays, _ = io.read_arrays(predictions, "predictions")
        for record in tested_here:
            subset, seed = record["target_subset"], record["seed"]
            try:
                index, labels = arrays[f"{subset}.index"], arrays[f"{subset}.labels"]
                predicted = arrays[f"seed{seed}.{subset}.predicted"]
            except KeyError as error:
                raise UserError(
                    f"{predictions}: key {error} is missing, although metrics.json refers to it; run its job again."
                ) from error
            tested = found.setdefault(_place(record), Answers(index, {}))
            if not np.array_equal(tested.index, index):
                raise UserError(
                    f"{predictions}: its test images differ from those in another file of the same runs; run its job again."
                )
            tested.correct[seed] = predicted == labels
    return found


def compare(experiment: Mapping[str, Any], tested: Mapping[Place, Answers]) -> pd.DataFrame:
    """One row per pair and target subset over all common seeds, and one for each seed.

    The pairs are all of two variants, or, if the experiment has a reference, the reference and each other variant.
    difference: accuracy of the second variant minus that of the first. An untrained variant has one set of predictions,
    which is compared with every seed of the other. Pairs without a common seed are left out. Columns: `COLUMNS`, fractions.

    Over all seeds: interval_low and interval_high, and p, are over test images (`significance.over_images`, and `sign_flip` of
    the differences summed over seeds); std, seeds_low, seeds_high and detectable are over seeds (`significance.over_seeds`).
    For each seed: the images that only one of the two gets right, and McNemar's exact test. Holm's correction is
    for the number of tests of the same kind in the whole comparison.
    """
    rows: list[dict[str, Any]] = []
    for first, second in progress.track(list(_pairs(experiment, tested)), "compare", "pair"):
        rows += _rows(first, second, tested[first], tested[second])
    frame = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(WHOLE, "Int64"))
    frame = frame.astype({name: "float64" for name in COLUMNS[COLUMNS.index("first_accuracy") :] if name not in WHOLE})
    single = frame["seed"] != ALL_SEEDS
    counts = (frame.loc[single, name].to_numpy("int64") for name in ("only_first", "only_second"))
    frame.loc[single, "mcnemar_p"] = significance.mcnemar(*counts)
    return frame.assign(**{f"{name}_holm": significance.holm(frame[name]) for name in ("p", "mcnemar_p")})


def _place(record: Mapping[str, Any]) -> Place:
    """The place of a record; an untrained variant is the same for all training datasets."""
    dataset = record["dataset"] if record["shots"] else ""
    half = f"{record['subset']} classes" if record["target_subset"] == "all" and half_of(record["subset"])[1] else ""
    draw = ", ".join(filter(None, (record.get("draw", ""), half))) if dataset else ""
    return Place(record["target"], record["target_subset"], record["variant"], record["shots"], dataset, draw)


def _pairs(experiment: Mapping[str, Any], tested: Mapping[Place, Answers]) -> Iterator[tuple[Place, Place]]:
    """Every two variants tested on the same images after the same training data, in the experiment's order.

    With a reference, only the pairs that contain it, and it comes first.
    """
    reference = experiments.reference_of(experiment)
    order = list(experiments.named(experiment["variants"]))
    targets = list(experiments.dataset_titles(experiment))
    places = sorted(
        tested, key=lambda p: (targets.index(p.target), p.target_subset, p.shots, p.draw, order.index(p.variant))
    )
    for _, same_images in groupby(places, key=lambda place: place[:2]):
        for one, other in combinations(same_images, 2):
            if one.variant == other.variant or not (0 in (one.shots, other.shots) or one[3:] == other[3:]):
                continue
            if reference in (None, one.variant):
                yield one, other
            elif reference == other.variant:
                yield other, one


def _rows(first: Place, second: Place, one: Answers, other: Answers) -> Iterator[dict[str, Any]]:
    if not np.array_equal(one.index, other.index):
        raise UserError(
            f"{first.variant} and {second.variant} were tested on other images of {first.target}; run their jobs again."
        )
    trained = max(first, second, key=lambda place: place.shots)
    described = {
        "dataset": trained.dataset, "target": first.target, "target_subset": first.target_subset, "shots": trained.shots,
        "draw": trained.draw, "first": first.variant, "second": second.variant, "images": len(one.index),
    }  # fmt: skip
    seeds = sorted(_common(first, second, one, other))
    if not seeds or not len(one.index):
        return
    left, right = _stacked(first, one, seeds), _stacked(second, other, seeds)
    differences = right - left
    of_images, of_seeds = differences.sum(axis=0, dtype=np.int64), differences.mean(axis=1)
    low, high = significance.over_images(of_images / len(seeds)) or (None, None)
    yield {
        **described, "seed": ALL_SEEDS, "seeds": len(seeds), "first_accuracy": left.mean(), "second_accuracy": right.mean(),
        "difference": of_seeds.mean(), "interval_low": low, "interval_high": high, "p": significance.sign_flip(of_images),
        **significance.over_seeds(of_seeds.tolist()),
    }  # fmt: skip
    only_first, only_second = (differences < 0).sum(axis=1), (differences > 0).sum(axis=1)
    first_accuracy, second_accuracy = left.mean(axis=1), right.mean(axis=1)
    for place, seed in enumerate(seeds):
        yield {
            **described, "seed": seed, "first_accuracy": first_accuracy[place], "second_accuracy": second_accuracy[place],
            "difference": of_seeds[place], "only_first": only_first[place], "only_second": only_second[place],
        }  # fmt: skip


def _common(first: Place, second: Place, one: Answers, other: Answers) -> set[int]:
    """The seeds of both; an untrained variant goes with every seed of the other."""
    if not first.shots:
        return set(other.correct)
    return set(one.correct) & set(other.correct) if second.shots else set(one.correct)


def _stacked(place: Place, answers: Answers, seeds: Sequence[int]) -> np.ndarray:
    """The answers of these seeds (S, N) as 0 and 1; those of an untrained variant once for each seed."""
    only = next(iter(answers.correct.values()))
    return np.stack([answers.correct[seed] if place.shots else only for seed in seeds]).astype(np.int8)
