"""The records of an experiment: which are expected, which are missing, and the labels they are shown under."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cocoop import io
from cocoop.config.draw import level_of, shots_text
from cocoop.errors import UserError, listed
from cocoop.reporting.records.records import COLUMNS, KEY
from cocoop.splits import half_of

FIELDS = (
    "name", "title", "table", "caption", "paper", "reference", "backbones", "variants", "train_datasets", "train_subset", "targets",
    "target_subsets", "shots", "seeds", "expected",
)  # fmt: skip


def load(path: Path) -> dict[str, Any]:
    """Reads an experiment.json; a key that is missing is a UserError."""
    experiment = io.read_json(path, "experiment")
    lacking = [field for field in FIELDS if field not in experiment]
    if lacking:
        raise UserError(f"{path}: missing keys: {listed(lacking)}; delete the file and run again.")
    return experiment


def of_each(experiment: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The experiment once for each of its backbones, with the key `backbone`: {name, label}.

    Numbers of different backbones are never averaged or compared, so most of the reporting sees one backbone at a time. An
    experiment that has the key already is of one backbone.
    """
    if "backbone" in experiment:
        return [dict(experiment)]
    return [{**experiment, "backbone": backbone} for backbone in experiment["backbones"]]


def named(items: Iterable[str | Mapping[str, str]]) -> dict[str, str]:
    """The titles by name, in order, of a list of names or of {name, title} (or {name, label}) objects."""
    pairs = [
        (item, item) if isinstance(item, str) else (item["name"], item.get("title") or item["label"]) for item in items
    ]
    return dict(pairs)


def dataset_titles(experiment: Mapping[str, Any]) -> dict[str, str]:
    """The title of each dataset of the experiment, in the order in which tables show them."""
    return {**named(experiment["targets"]), **named(experiment["train_datasets"])}


def reference_of(experiment: Mapping[str, Any]) -> str | None:
    """The variant that the others are compared with; None if the experiment names none or does not contain it."""
    name = experiment["reference"]
    return name if name in named(experiment["variants"]) else None


def select(experiment: Mapping[str, Any], records: pd.DataFrame) -> pd.DataFrame:
    """The expected records of one backbone (`of_each`) with their numbers.

    There is a gap (NaN accuracy, False in `present`) for each one that is missing.

    Adds `half` (the number of the class halves, whose targets are called base and new again), `series` (one line in a table: the
    variant, its shots if the experiment has several numbers of them, and its label noise and imbalance if they differ) and
    `label` (its text), in the order of the experiment's variants.
    """
    if not experiment["expected"]:
        raise UserError(f"experiment {experiment['name']!r} has no records; add variants and datasets.")
    rows = [{"draw": "", **key} for key in experiment["expected"]]
    expected = pd.DataFrame(rows).assign(backbone=experiment["backbone"]["name"])[KEY].drop_duplicates()
    chosen = expected.merge(records, on=KEY, how="left", indicator="present")
    chosen["present"] = chosen["present"] == "both"
    halves = [
        half_of(target)[1] or half_of(own)[1]
        for target, own in zip(chosen["target_subset"], chosen["subset"], strict=True)
    ]
    plain = chosen["target_subset"].map(lambda subset: half_of(subset)[0])
    chosen = chosen.assign(half=halves, target_subset=plain)
    return _with_series(experiment, chosen)[[*COLUMNS, "half", "present", "series", "label"]]


def missing(selected: pd.DataFrame) -> list[str]:
    """Describes the missing records, with one text per block of runs and target."""
    gaps = selected[~selected["present"]]
    texts = []
    for (label, dataset, subset, shots, target), part in gaps.groupby(
        ["label", "dataset", "subset", "shots", "target"], sort=False
    ):
        tested = f"tested on {target} ({', '.join(part['target_subset'].unique())})"
        seeds = [str(seed) for seed in sorted(part["seed"].unique())]
        numbered = f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}"
        trained = f" trained on {dataset} ({subset}), {shots_text(shots)} shots, {numbered}," if shots else ""
        texts.append(f"{label}{trained} {tested}")
    return texts


def _with_series(experiment: Mapping[str, Any], chosen: pd.DataFrame) -> pd.DataFrame:
    several_shots = experiment["table"] != "curves" and len(experiment["shots"]) > 1
    labels = named(experiment["variants"])
    places, levels = list(labels), list(dict.fromkeys(map(level_of, chosen.loc[chosen["shots"] > 0, "draw"])))
    keys = list(zip(chosen["variant"], chosen["shots"], map(level_of, chosen["draw"]), strict=True))
    series: dict[tuple[str, int, str], tuple[str, str]] = {}
    for variant, shots, level in sorted(set(keys), key=lambda key: _place(key, places, levels)):
        suffix = f", {shots_text(shots)} shots" if several_shots and shots else ""
        suffix += f", {level}" if len(levels) > 1 and level else ""
        series[variant, shots, level] = variant + suffix, labels[variant] + suffix
    order = list(dict.fromkeys(name for name, _ in series.values()))
    chosen = chosen.assign(series=pd.Categorical([series[key][0] for key in keys], order, ordered=True))
    return chosen.assign(label=[series[key][1] for key in keys]).sort_values("series", kind="stable", ignore_index=True)


def _place(key: tuple[str, int, str], variants: list[str], levels: list[str]) -> tuple[int, int, int]:
    variant, shots, level = key
    return variants.index(variant), shots, levels.index(level) if level in levels else 0
