"""The distance of each method to the experiment's reference, such as an ensemble of prompts that needs no training."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cocoop.reporting.records.experiment import named, reference_of
from cocoop.reporting.records.text import per_cent

ADDED = ("reference", "distance")


def with_distance(experiment: Mapping[str, Any], summary: pd.DataFrame) -> pd.DataFrame:
    """Adds the columns `ADDED` to a summary; without a reference it returns the summary itself.

    distance: mean minus the reference's mean at the same place, number of shots and draw (fractions; an untrained reference has
    one value for all numbers of shots); missing for the reference itself and where either mean is missing.
    """
    reference = reference_of(experiment)
    if reference is None:
        return summary
    keys = ["source", "target", "metric"]
    own = summary[summary["variant"] == reference]
    untrained = bool((own["shots"] == 0).all())
    on = keys if untrained else [*keys, "shots", "draw"]
    other = summary.merge(own[[*on, "mean"]].rename(columns={"mean": "other"}), on=on, how="left")["other"]
    distance = (summary["mean"] - other.to_numpy()).where(summary["variant"] != reference)
    return summary.assign(reference=reference, distance=distance)


def text(number: Mapping[str, Any]) -> str:
    """The distance in percentage points and parentheses, to follow a mean; empty where there is none."""
    return "" if pd.isna(number.get("distance")) else f" ({per_cent(number['distance'], sign=True)})"


def footnotes(experiment: Mapping[str, Any]) -> tuple[str, ...]:
    """What the numbers in parentheses are."""
    reference = reference_of(experiment)
    if reference is None:
        return ()
    return (f"In parentheses: difference to {named(experiment['variants'])[reference]} in percentage points.",)
