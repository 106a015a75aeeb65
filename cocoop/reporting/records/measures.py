"""The measures beside accuracy: mean and spread over seeds, and averages over datasets. Blank where accuracy would be."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cocoop.config.draw import level_of
from cocoop.config.measures import JOINT, OVERALL, PAIRWISE
from cocoop.reporting.records import statistics
from cocoop.reporting.records.statistics import AVERAGE, CELL, RUN

BOTH = "both"  # in place of a target subset: base and new classes together
NUMBER = [*CELL, "measure", "metric"]
COLUMNS = [*NUMBER, "label", "variant", "draw", "n", "expected", "mean", "std", "one_class"]


def summarize(experiment: Mapping[str, Any], selected: pd.DataFrame, asked: Sequence[str]) -> pd.DataFrame:
    """One row per cell, measure and metric, which is a target subset or `BOTH`, with average rows (target `AVERAGE`).

    selected: result of `cocoop.reporting.records.experiment.select`; asked: names of measures, at least one. Columns
    `COLUMNS`, in the units of records.csv: a mean is missing unless all `expected` seeds (in an average, of all datasets)
    have the measure; `n` counts those that do. Standard deviations are over these seeds, with ddof 1.
    """
    values = pd.concat([_values(experiment, selected, name) for name in asked], ignore_index=True)
    values = pd.concat([values, _averages(values)], ignore_index=True)
    groups = values.groupby(NUMBER, sort=False)
    found = groups["value"].agg(n="count", expected="size", mean="mean", std="std").join(groups["one_class"].any())
    found["mean"] = found["mean"].where(found["n"] == found["expected"])
    names = selected.drop_duplicates("series").set_index("series")[["label", "variant", "draw"]]
    names["draw"] = names["draw"].map(level_of)
    summary = found.reset_index().join(names, on="series")
    summary["series"] = pd.Categorical(summary["series"], selected["series"].cat.categories, ordered=True)
    return summary[COLUMNS]


def _values(experiment: Mapping[str, Any], selected: pd.DataFrame, measure: str) -> pd.DataFrame:
    """As `statistics.values_of`, for one measure."""
    parts = [] if measure in PAIRWISE else [selected.assign(accuracy=selected[measure])]
    if measure in (JOINT, *PAIRWISE):  # the same number for both halves
        fewest = selected.groupby("target")["classes"].transform("min")
        both = selected.assign(
            accuracy=selected[OVERALL if measure == JOINT else measure], classes=fewest, target_subset=BOTH
        )
        parts.append(both[selected["target_subset"] == "base"])
    return statistics.values_of(experiment, pd.concat(parts, ignore_index=True)).assign(measure=measure)


def _averages(values: pd.DataFrame) -> pd.DataFrame:
    """The mean of each seed over the targets that accuracy is averaged over; missing if one of them is missing."""
    targets = values[values["target"] != values["source"]]
    targets = targets[targets["target"].isin(statistics.without_single_classes(targets["target"].unique(), values))]
    wanted = targets.groupby("source")["target"].nunique()
    keys = ["source", "series", "shots", "measure", "metric", *RUN]
    found = targets.groupby(keys, sort=False)["value"].agg(value="mean", n="count").reset_index()
    expected = found["source"].map(wanted)
    found["value"] = found["value"].where(found["n"] == expected)
    return found[expected > 1].assign(target=AVERAGE, one_class=False)[[*NUMBER, *RUN, "value", "one_class"]]
