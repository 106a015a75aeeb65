"""An experiment's share of the records: what was expected, what is there, under which label it is shown."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cocoop import io
from cocoop.errors import UserError, listed
from cocoop.results.records import COLUMNS, KEY, TEXTS, describe

FIELDS = (
    "name", "title", "table", "caption", "paper", "variants", "train_datasets", "targets", "target_subsets", "shots", "seeds",
    "expected",
)  # fmt: skip


def load(path: Path) -> dict[str, Any]:
    """Reads an experiment.json; a key that is missing is a UserError."""
    experiment = io.read_json(path, "experiment")
    lacking = [field for field in FIELDS if field not in experiment]
    if lacking:
        raise UserError(f"{path}: {listed(lacking)} missing, which every experiment file has; delete it and run again.")
    return experiment


def named(items: Iterable[str | Mapping[str, str]]) -> dict[str, str]:
    """Names and titles, in order, of a list of names or of {name, title} (or {name, label}) objects."""
    pairs = [(item, item) if isinstance(item, str) else (item["name"], item.get("title") or item["label"]) for item in items]
    return dict(pairs)


def dataset_titles(experiment: Mapping[str, Any]) -> dict[str, str]:
    """Title of every dataset of the experiment, in the order in which tables show them."""
    return {**named(experiment["targets"]), **named(experiment["train_datasets"])}


def select(experiment: Mapping[str, Any], records: pd.DataFrame) -> pd.DataFrame:
    """The expected records with their numbers, and a gap (NaN accuracy, False in `present`) for each one that is missing.

    Adds `series` (what gets one line in a table: the variant, with shots and backbone where the experiment has several),
    `label` (its text), in the order of the experiment's variants.
    """
    expected = pd.DataFrame(experiment["expected"], columns=KEY)
    if expected.empty:
        raise UserError(f"experiment {experiment['name']!r} expects no record; give it variants and datasets.")
    expected[[name for name in TEXTS if name in KEY]] = expected[[name for name in TEXTS if name in KEY]].fillna("").astype("str")
    expected = expected.drop_duplicates()
    chosen = expected.merge(records, on=KEY, how="left", indicator="present")
    chosen["present"] = chosen["present"] == "both"
    return _with_series(experiment, chosen)[[*COLUMNS, "present", "series", "label"]]


def missing(selected: pd.DataFrame) -> list[str]:
    """The expected records that are not there, in words."""
    gaps = selected[~selected["present"]]
    return [describe(row) for row in gaps[KEY].to_dict("records")]


def _with_series(experiment: Mapping[str, Any], chosen: pd.DataFrame) -> pd.DataFrame:
    labels = named(experiment["variants"])
    several_backbones = chosen["backbone"].nunique() > 1
    several_shots = experiment["table"] != "curves" and (chosen["shots"][chosen["shots"] > 0]).nunique() > 1
    columns = chosen[["variant", "shots", "backbone"]].drop_duplicates()
    order = {variant: place for place, variant in enumerate(labels)}
    columns = columns.sort_values(["variant", "shots", "backbone"], key=lambda c: c.map(order) if c.name == "variant" else c)
    series, shown = {}, {}
    for variant, shots, backbone in columns.itertuples(index=False):
        name, label = variant, labels.get(variant, variant)
        if several_shots and shots:
            name, label = f"{name}, shots {shots}", f"{label}, {shots} shots" if shots > 1 else f"{label}, 1 shot"
        if several_backbones:
            name, label = f"{name}, {backbone}", f"{label}, {backbone}"
        series[variant, shots, backbone], shown[name] = name, label
    keys = pd.Series(list(zip(chosen["variant"], chosen["shots"], chosen["backbone"], strict=True)), index=chosen.index)
    names = keys.map(series)
    chosen = chosen.assign(series=pd.Categorical(names, list(dict.fromkeys(series.values())), ordered=True))
    return chosen.assign(label=names.map(shown)).sort_values("series", kind="stable", ignore_index=True)
