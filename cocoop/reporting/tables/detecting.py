"""The smallest difference between two methods that the seeds of an experiment can detect."""

import numpy as np
import pandas as pd

from cocoop.config.draw import shots_in_words
from cocoop.errors import counted
from cocoop.reporting.records.significance import DIGITS, detectable
from cocoop.reporting.records.statistics import AVERAGE, RUN
from cocoop.reporting.records.text import per_cent
from cocoop.reporting.tables.grids import METRICS


def footnotes(per_seed: pd.DataFrame) -> tuple[str, ...]:
    """The smallest true difference of two trained methods that a paired t test over the seeds finds, in plain words.

    It is the median over all pairs of trained methods with complete results, in the average row, or on each dataset where
    there is no average. There is no note without such pairs, for a single seed, and without any spread.

    per_seed: result of `statistics.per_seed`.
    """
    rows = per_seed[(per_seed["shots"] > 0) & ~per_seed["one_class"]]
    averaged = (rows["target"] == AVERAGE).any()
    rows = rows[rows["target"] == AVERAGE] if averaged else rows
    several_shots = rows["shots"].nunique() > 1
    texts = []
    for metric in METRICS:
        for shots, part in rows[rows["metric"] == metric].groupby("shots"):
            least = detectable(_spread(part), len(part[RUN].drop_duplicates()))
            if least is not None:
                about = [METRICS[metric]] * (rows["metric"].nunique() > 1) + [shots_in_words(shots)] * several_shots
                texts.append(per_cent(least) + f" ({', '.join(about)})" * bool(about))
    if not texts:
        return ()
    where = "in the average" if averaged else "on a dataset"
    halves = f" on {rows['half'].nunique()} pairs of class halves" if rows["half"].nunique() > 1 else ""
    return (
        f"What {counted(rows['seed'].nunique(), 'seed', 'seeds')}{halves} can detect: a true difference between two trained "
        "methods of "
        f"{', '.join(texts)} percentage points {where}; a paired t test (two-sided, 5 %) finds it with a chance of 80 %. "
        "This is the median over the pairs of methods shown; a smaller difference may be due to the seeds.",
    )


def _spread(part: pd.DataFrame) -> float | None:
    """The median over targets and pairs of series of the standard deviation (ddof 1) of their difference over seeds."""
    found = []
    for _, numbers in part.groupby(["source", "target"], sort=False):
        values = numbers.pivot(index="series", columns=RUN, values="value").dropna().to_numpy()
        if len(values) > 1 and values.shape[1] > 1:
            first, second = np.triu_indices(len(values), 1)
            found.append((values[first] - values[second]).std(axis=1, ddof=1))
    return round(float(np.median(np.concatenate(found))), DIGITS) if found else None
