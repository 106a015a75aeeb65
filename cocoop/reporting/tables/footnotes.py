"""Footnotes: the meaning of the numbers, the selection of hyper-parameters, missing runs, and notes on the data."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cocoop.config.draw import shots_text
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
    """How the hyper-parameters of each method were selected, as far as the records state it (column `selection`).

    The most frequent way of a method is stated without the datasets and shots, the others with them.
    """
    stated = selected[selected["selection"].fillna("") != ""]
    if stated.empty:
        return ()
    labels = experiments.named(experiment["variants"])
    methods: dict[tuple[str, str], list[str]] = {}  # by kind of selection and place
    for variant, own in stated.groupby("variant", sort=False):
        for number, kind in enumerate(own["selection"].value_counts().index):
            where = _where(experiment, own, own["selection"] == kind) if number else ""
            methods.setdefault((kind, where), []).append(labels[variant])
    selecting = [
        f"{SELECTIONS.get(kind, kind)}{where}: {', '.join(names)}"
        for (kind, where), names in methods.items()
        if kind != FIXED
    ]
    fixed = any(kind == FIXED for kind, _ in methods)
    texts = selecting + [SELECTIONS[FIXED] + (": all others" if selecting else "")] * fixed
    return (f"Hyper-parameters: {'; '.join(texts)}.",)


def _where(experiment: Mapping[str, Any], rows: pd.DataFrame, chosen: pd.Series) -> str:
    """The datasets of the chosen rows, and their shots if other rows of these datasets have others."""
    titles = experiments.dataset_titles(experiment)
    targets = rows["target"][chosen].unique()
    others = rows[~chosen & rows["target"].isin(targets)]
    shots = sorted(set(rows["shots"][chosen]))
    unit = "shot" if shots == [1] else "shots"
    with_shots = "" if others.empty else f" with {', '.join(map(shots_text, shots))} {unit}"
    return f", on {', '.join(titles[target] for target in targets)}{with_shots}"


def missing(gaps: Sequence[str]) -> tuple[str, ...]:
    """A note that names the missing results (at most the first `MOST_NAMED`); none if nothing is missing."""
    if not gaps:
        return ()
    more = f"; and {len(gaps) - MOST_NAMED} more" if len(gaps) > MOST_NAMED else ""
    return (f"{GAP} Missing, so every mean over it is blank: {'; '.join(gaps[:MOST_NAMED])}{more}.",)


def meaning(experiment: Mapping[str, Any], summary: pd.DataFrame) -> tuple[str, ...]:
    """The meaning of the cells of the main table."""
    runs = sorted(set(summary["expected"][summary["expected"] > 1]))
    halves = len(experiment.get("drawn", {}).get("halves", [0]))
    what = f"seeds and {halves} divisions into base and new classes" if halves > 1 else "seeds"
    over = f" over {' or '.join(map(str, runs))} {'runs' if halves > 1 else what} (ddof 1)" if runs else ""
    over += f": {what}" if halves > 1 else ""
    found = [f"Accuracy in per cent: mean ± standard deviation{over}." if runs else "Accuracy in per cent."]
    if (summary["shots"] == 0).any():
        alone = "one result for each division" if halves > 1 else "one result and no spread"
        found.append(f"Methods without training have {alone}.")
    if (summary["metric"] == "h").any():
        of_average = (
            " In the average rows, of the averaged base and new, as in the paper." if _averaged(summary) else ""
        )
        found.append(f"H: harmonic mean of the mean base and new accuracy.{of_average}")
    return tuple(found)


def _averaged(summary: pd.DataFrame) -> bool:
    return bool((summary["target"] == AVERAGE).any())
