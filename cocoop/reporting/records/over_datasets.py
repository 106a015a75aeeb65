"""Paired comparisons of variants over datasets, and their average ranks (Demsar, JMLR 2006)."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from cocoop import metrics
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import significance
from cocoop.reporting.records.statistics import AVERAGE, without_single_classes

GROUP = ["source", "metric", "shots", "draw"]
COLUMNS = [
    *GROUP, "first", "second", "datasets", "difference", "interval_low", "interval_high", "wins", "ties", "losses",
    "t_p", "t_p_holm", "wilcoxon_p", "wilcoxon_p_holm",
]  # fmt: skip
RANKS = [*GROUP, "variant", "datasets", "rank", "variants", "friedman_p", "critical_difference"]
AS_PRINTED = 4  # accuracies that are equal in per cent with two decimals are a tie


def compare(experiment: Mapping[str, Any], summary: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of variants, group of classes (or H) and number of shots: their difference over datasets.

    summary: result of `statistics.summarize`. The pairs are those of `paired.compare`; the datasets are those of the average
    rows. Each dataset counts once, with the mean over seeds. difference: mean of second minus first, with Student's t interval
    over datasets, cut to -1 and 1; wins: datasets where the second is higher. A pair with missing results has only its names. Two
    untrained variants are compared once, with 0 shots.
    Columns: `COLUMNS`, fractions.
    """
    reference = experiments.reference_of(experiment)
    untrained = set(summary.loc[summary["shots"] == 0, "variant"])
    rows: dict[tuple, dict[str, Any]] = {}
    for group, numbers in _groups(experiment, summary):
        for first, second in combinations(numbers.columns, 2):
            if reference not in (None, first, second):
                continue
            if second == reference:
                first, second = second, first
            without_training = {"shots": 0, "draw": ""} if {first, second} <= untrained else {}
            pair = {**group, **without_training, "first": first, "second": second, "datasets": len(numbers)}
            rows[tuple(pair.values())] = pair | _row((numbers[second] - numbers[first]).tolist())
    frame = pd.DataFrame(list(rows.values()), columns=COLUMNS)
    frame = frame.astype({name: "Int64" for name in ("datasets", "wins", "ties", "losses")})
    frame = frame.astype({name: "float64" for name in COLUMNS if name.endswith(("_p", "_low", "_high", "difference"))})
    return frame.assign(**{f"{name}_holm": significance.holm(frame[name]) for name in ("t_p", "wilcoxon_p")})


def ranks(experiment: Mapping[str, Any], summary: pd.DataFrame) -> pd.DataFrame:
    """The average rank over datasets of each variant with complete results, 1 for the most accurate; equal ones share a rank.

    friedman_p: Friedman's test of the whole group; critical_difference: the least difference of two average ranks that is
    significant at 5 % (Nemenyi). Columns: `RANKS`, best first.
    """
    rows = []
    for group, numbers in _groups(experiment, summary):
        numbers = numbers.dropna(axis="columns").round(AS_PRINTED)
        datasets, variants = numbers.shape
        if variants < 2:
            continue
        means = numbers.rank(axis="columns", ascending=False).mean().sort_values(kind="stable")
        about = {**group, "datasets": datasets, "variants": variants}
        tested = {
            "friedman_p": significance.friedman(numbers.to_numpy()),
            "critical_difference": significance.critical_difference(variants, datasets),
        }
        rows += [{**about, **tested, "variant": variant, "rank": rank} for variant, rank in means.items()]
    return pd.DataFrame(rows, columns=RANKS).astype({"friedman_p": "float64"})


def _groups(experiment: Mapping[str, Any], summary: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """For each source, metric, number of shots and draw: the means of the variants (columns) on at least two datasets (rows).

    Untrained variants are in the group of every number of shots and every draw (its label noise and imbalance).
    """
    targets = summary[(summary["target"] != AVERAGE) & (summary["target"] != summary["source"])]
    targets = targets[targets["target"].isin(without_single_classes(targets["target"].unique(), targets))]
    order = list(experiments.named(experiment["variants"]))
    for (source, metric), part in targets.groupby(["source", "metric"], sort=False):
        untrained = part[part["shots"] == 0]
        levels = part.loc[part["shots"] > 0, ["shots", "draw"]].drop_duplicates().sort_values("shots", kind="stable")
        for shots, draw in levels.itertuples(index=False, name=None) if len(levels) else [(0, "")]:
            trained = part[(part["shots"] == shots) & (part["draw"] == draw) & (part["shots"] > 0)]
            numbers = pd.concat([untrained, trained]).pivot(index="target", columns="variant", values="mean")
            if len(numbers) > 1:
                group = {"source": source, "metric": metric, "shots": shots, "draw": draw}
                yield group, numbers[[v for v in order if v in numbers]]


def _row(differences: list[float]) -> dict[str, Any]:
    if np.isnan(differences).any():
        return {}
    rounded = np.round(differences, AS_PRINTED)
    differences = [round(value, significance.DIGITS) for value in differences]
    mean, half = metrics.mean(differences), metrics.t_half_width(metrics.sample_std(differences), len(differences))
    low, high = metrics.interval(mean, half, -1.0, 1.0) or (None, None)
    return {
        "difference": mean, "interval_low": low, "interval_high": high,
        "wins": int((rounded > 0).sum()), "ties": int((rounded == 0).sum()), "losses": int((rounded < 0).sum()),
        "t_p": significance.paired_t(differences), "wilcoxon_p": significance.wilcoxon(differences),
    }  # fmt: skip
