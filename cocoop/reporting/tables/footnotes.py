"""Footnotes: the meaning of the numbers, the selection of hyper-parameters, missing runs, and notes on the data."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cocoop.errors import listed
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import notes as noted
from cocoop.reporting.records.statistics import AVERAGE
from cocoop.reporting.records.text import GAP

MOST_NAMED = 12
FIXED = "none"
SELECTIONS = {
    FIXED: "fixed values of the methods' files",
    "val": "chosen on the few-shot validation images",
    "hold_one_out": "chosen on training images that were held out",
}


def common(experiment: Mapping[str, Any], selected: pd.DataFrame, said: Sequence[str]) -> tuple[str, ...]:
    """Footnotes of every table of an experiment: how hyper-parameters were selected, missing runs, and the notes of
    `cocoop.reporting.records.notes`.
    """
    return (
        *selection(experiment, selected),
        *missing(experiments.missing(selected)),
        *noted.of(experiment, selected, said),
    )


def selection(experiment: Mapping[str, Any], selected: pd.DataFrame) -> tuple[str, ...]:
    """How the hyper-parameters of each method were selected, as far as the records state it (column `selection`)."""
    stated = selected[selected["selection"].fillna("") != ""]
    if stated.empty:
        return ()
    titles, labels = experiments.dataset_titles(experiment), experiments.named(experiment["variants"])
    kinds = stated.groupby(["variant", "selection"], sort=False)["target"].unique()
    several = kinds.groupby("variant").size() > 1
    methods: dict[str, list[str]] = {}
    for (variant, kind), targets in kinds.items():
        where = f" on {listed([titles[target] for target in targets])}" if several[variant] else ""
        methods.setdefault(kind, []).append(labels[variant] + where)
    texts = [
        f"{SELECTIONS.get(kind, kind)}: {'all others' if kind == FIXED and len(methods) > 1 else ', '.join(names)}"
        for kind, names in sorted(methods.items(), key=lambda item: item[0] == FIXED)
    ]
    return (f"Hyper-parameters: {'; '.join(texts) if set(methods) != {FIXED} else SELECTIONS[FIXED]}.",)


def missing(gaps: Sequence[str]) -> tuple[str, ...]:
    """A note that names the missing results (at most the first `MOST_NAMED`); none if nothing is missing."""
    if not gaps:
        return ()
    more = f"; and {len(gaps) - MOST_NAMED} more" if len(gaps) > MOST_NAMED else ""
    return (f"{GAP} Missing, so every mean over it is blank: {'; '.join(gaps[:MOST_NAMED])}{more}.",)


def meaning(summary: pd.DataFrame) -> tuple[str, ...]:
    """The meaning of the cells of the main table."""
    runs = sorted(set(summary["expected"][summary["expected"] > 1]))
    over = f" over {' or '.join(map(str, runs))} seeds (ddof 1)" if runs else ""
    found = [f"Accuracy in per cent: mean ± standard deviation{over}." if runs else "Accuracy in per cent."]
    if (summary["shots"] == 0).any():
        found.append("Methods without training have one result and no spread.")
    if (summary["metric"] == "h").any():
        of_average = (
            " In the average rows, of the averaged base and new, as in the paper." if _averaged(summary) else ""
        )
        found.append(f"H: harmonic mean of the mean base and new accuracy.{of_average}")
    return tuple(found)


def _averaged(summary: pd.DataFrame) -> bool:
    return bool((summary["target"] == AVERAGE).any())
