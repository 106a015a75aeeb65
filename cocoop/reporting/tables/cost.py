"""What each method costs: seconds, learned parameters and memory."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cocoop.config.draw import shots_text
from cocoop.reporting.records.cost import of_backbone
from cocoop.reporting.records.text import GAP, count
from cocoop.reporting.tables.rendering import Cell, Table

NOTE = (
    "Seconds of a training run (one seed) and of its evaluation on one target: means over datasets, without the image "
    "features, which all methods share. Parameters: learned numbers, counted from the tensors; a range if they depend on the "
    "dataset. Memory: the highest peak of any of its jobs, for the whole process with its libraries."
)


def table(experiment: Mapping[str, Any], summary: pd.DataFrame, cost: pd.DataFrame, caption: str) -> Table:
    """One row per method and number of shots.

    summary: result of `statistics.summarize`; cost: result of `records.cost.per_variant`.
    """
    counts = summary.groupby(["series", "label", "variant", "shots", "draw"], observed=True, sort=True)["trained"]
    tidy = counts.agg(parameters="min", most_parameters="max").reset_index().drop(columns="series")
    tidy = tidy.merge(
        of_backbone(cost, experiment).drop(columns="backbone", errors="ignore"),
        on=["variant", "shots", "draw"],
        how="left",
    )
    several = experiment["table"] == "curves" and bool((tidy["shots"] > 0).any())
    gpu = ("GPU memory (MB)",) if tidy["peak_gpu_mb"].notna().any() else ()
    names = ("Method", "Shots") if several else ("Method",)
    header = (*names, "Training (s)", "Evaluation (s)", "Parameters", "Memory (MB)", *gpu)
    rows = []
    for row in tidy.to_dict("records"):
        memory = [row[name] for name in ("peak_mb", *("peak_gpu_mb" for _ in gpu))]
        cells = [*map(_seconds, (row["train_seconds"], row["evaluate_seconds"])), _range(row), *map(count, memory)]
        rows.append(tuple(map(Cell, (row["label"], *([shots_text(row["shots"])] * several), *cells))))
    return Table(
        name="cost",
        title=f"{experiment['title']}: cost of each method",
        caption=caption,
        tidy=tidy,
        wide=tidy,
        header=header,
        rows=tuple(rows),
        labels=len(names),
        notes=(NOTE, *_devices(tidy["device"].dropna())),
    )


def _devices(listed: Sequence[str]) -> tuple[str, ...]:
    """Where the seconds were measured; they are not comparable between devices."""
    devices = sorted({device for text in listed for device in text.split(", ")})
    if not devices:
        return ()
    differ = " Seconds on different devices cannot be compared." if len(devices) > 1 else ""
    return (f"Measured on: {', '.join(devices)}.{differ}",)


def _seconds(value: float) -> str:
    if pd.isna(value):
        return GAP
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _range(row: Mapping[str, Any]) -> str:
    least, most = row["parameters"], row["most_parameters"]
    return count(least) if pd.isna(least) or least == most else f"{count(least)} to {count(most)}"
