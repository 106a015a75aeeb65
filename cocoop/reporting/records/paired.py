"""Paired comparisons of variants on the same seeds and test images (bootstrap and McNemar's test)."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tabulate import tabulate

from cocoop import io, progress
from cocoop.config.draw import shots_text
from cocoop.errors import UserError
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import notes, records
from cocoop.reporting.records.text import markdown_escape, per_cent
from cocoop.splits import half_of

RESAMPLES = 2000
CONFIDENCE = 0.95
BOOTSTRAP_SEED = 0
BATCH_ELEMENTS = 20_000_000
COLUMNS = [
    "dataset", "target", "target_subset", "shots", "draw", "first", "second", "seed", "images", "first_accuracy", "second_accuracy",
    "difference", "interval_low", "interval_high", "only_first", "only_second", "mcnemar_p",
]  # fmt: skip
HEADER = ("Tested on", "Classes", "First", "Second", "Second − first", "95 % interval", "McNemar p per seed")
NOTE = (
    f"Percentage points, over the same seeds and test images. The interval is a bootstrap over test images (percentile, "
    f"{RESAMPLES} resamples, fixed seeds), so it does not include the spread over seeds. p: McNemar's exact test for each "
    "seed, not corrected for the number of tests."
)
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


def build(experiment_json: Path, metrics_paths: Sequence[Path], records_csv: Path, out_dir: Path) -> pd.DataFrame:
    """Compares variants of an experiment (see `compare`) and writes paired.csv (fractions) and paired.md (per cent).

    Variants are compared within a backbone. With several backbones, the first column names the backbone.


    metrics_paths: metrics.json files, with predictions.safetensors in the same folder; records_csv: the result of `collect`
    for them.
    """
    each = experiments.of_each(experiments.load(experiment_json))
    numbers, said, frames, texts = records.load(records_csv), records.load_notes(records_csv), [], []
    for experiment in each:
        frame = compare(experiment, read(experiment, metrics_paths))
        noted = notes.of(experiment, experiments.select(experiment, numbers), said)
        if len(each) > 1:
            frame.insert(0, "backbone", experiment["backbone"]["name"])
            experiment = {**experiment, "title": f"{experiment['title']} ({experiment['backbone']['label']})"}
        frames.append(frame)
        texts.append(to_markdown(experiment, frame, noted))
    whole = pd.concat([frame for frame in frames if not frame.empty] or frames[:1], ignore_index=True)
    io.write_text(Path(out_dir) / "paired.csv", whole.to_csv(index=False, lineterminator="\n"))
    io.write_text(Path(out_dir) / "paired.md", "\n".join(texts))
    return whole


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
    """One row per pair, target subset and seed with McNemar's exact test, and one over all seeds with a bootstrap interval.

    The pairs are all of two variants, or, if the experiment has a reference, the reference and each other variant.
    difference: accuracy of the second variant minus that of the first. An untrained variant has one set of predictions,
    which is compared with every seed of the other. Pairs without a common seed are left out. Columns: `COLUMNS`, fractions.
    """
    rows: list[dict[str, Any]] = []
    for first, second in progress.track(list(_pairs(experiment, tested)), "compare", "pair"):
        rows += _rows(first, second, tested[first], tested[second])
    return pd.DataFrame(rows, columns=COLUMNS).astype({"only_first": "Int64", "only_second": "Int64"})


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
    """Percentile interval of the mean over resampled images, with fixed seeds."""
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


def to_markdown(experiment: Mapping[str, Any], frame: pd.DataFrame, noted: Sequence[str] = ()) -> str:
    """A table with one line per pair and target subset of a comparison (see `compare`), with footnotes."""
    labels, titles = experiments.named(experiment["variants"]), experiments.dataset_titles(experiment)
    keys = ["dataset", "target", "target_subset", "shots", "draw", "first", "second"]
    trained = {variant["name"]: variant["trainable"] for variant in experiment["variants"]}
    several_shots, several_draws = len(experiment["shots"]) > 1, frame["draw"].nunique() > 1
    rows = []
    for (_, target, subset, shots, draw, first, second), part in frame.groupby(keys, sort=False):
        total, seeds = part[part["images"].notna() & part["mcnemar_p"].isna()].iloc[0], part[part["mcnemar_p"].notna()]
        drawn = f", {draw}" if draw and several_draws else ""
        suffix = f", {shots_text(shots)} shots" if several_shots else ""
        names = [labels[first] + drawn * trained[first], labels[second] + suffix + drawn * trained[second]]
        interval = f"{per_cent(total['interval_low'], sign=True)} to {per_cent(total['interval_high'], sign=True)}"
        texts = [titles[target], subset, *names, per_cent(total["difference"], sign=True), interval]
        rows.append([*map(markdown_escape, texts), ", ".join(f"{value:.2g}" for value in seeds["mcnemar_p"])])
    align = ["left"] * 4 + ["right"] * 3
    table = tabulate(rows, headers=HEADER, tablefmt="pipe", disable_numparse=True, colalign=align if rows else None)
    title = markdown_escape(f"{experiment['title']}: paired comparison")
    footnotes = "".join(f"\n{markdown_escape(note)}\n" for note in (NOTE, *noted))
    return f"### {title}\n\n{table}\n{footnotes}"
