"""The paired comparison as a Markdown table."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from tabulate import tabulate

from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records.text import markdown_escape, per_cent

HEADER = ("Tested on", "Classes", "First", "Second", "Second − first", "95 % interval", "McNemar p per seed")
NOTE = (
    "Percentage points, over the same seeds and test images. The interval is a bootstrap over test images (percentile, "
    "{resamples} resamples, seeds kept), so it says nothing about the spread over seeds. p: McNemar's exact test of each "
    "seed's predictions, not corrected for the number of tests."
)


def to_markdown(experiment: Mapping[str, Any], frame: pd.DataFrame, resamples: int) -> str:
    """One line per pair and target subset of a comparison (see `cocoop.reporting.records.paired.compare`)."""
    labels, titles = experiments.named(experiment["variants"]), experiments.dataset_titles(experiment)
    keys = ["dataset", "target", "target_subset", "shots", "first", "second"]
    several_shots = len(experiment["shots"]) > 1
    rows = []
    for (_, target, subset, shots, first, second), part in frame.groupby(keys, sort=False):
        total, seeds = part[part["images"].notna() & part["mcnemar_p"].isna()].iloc[0], part[part["mcnemar_p"].notna()]
        names = [labels[first], labels[second] + (f", {shots} shots" if several_shots else "")]
        interval = f"{per_cent(total['interval_low'], sign=True)} to {per_cent(total['interval_high'], sign=True)}"
        texts = [titles[target], subset, *names, per_cent(total["difference"], sign=True), interval]
        rows.append([*map(markdown_escape, texts), ", ".join(f"{value:.2g}" for value in seeds["mcnemar_p"])])
    align = ["left"] * 4 + ["right"] * 3
    table = tabulate(rows, headers=HEADER, tablefmt="pipe", disable_numparse=True, colalign=align if rows else None)
    title = markdown_escape(f"{experiment['title']}: paired comparison")
    return f"### {title}\n\n{table}\n\n{NOTE.format(resamples=resamples)}\n"
