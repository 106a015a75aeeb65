"""Reliability diagrams and risk-coverage curves, from the metrics.json of every evaluation (docs/measures.md)."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cocoop import io, progress
from cocoop.reporting.figures import style
from cocoop.reporting.figures.data import METRICS, Data
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records.records import KEY
from cocoop.reporting.records.statistics import TRANSFER_KINDS, without_single_classes
from cocoop.splits import half_of

KEPT = ("reliability", "risk_coverage")
COLUMNS, PANEL_INCHES = 4, 1.75
FEW = 0.01  # bins with a smaller share of the images are only outlined


def read(experiment: Mapping[str, Any], records: pd.DataFrame, metrics: Sequence[Path]) -> pd.DataFrame:
    """The expected records with what their metrics.json keeps for the figures (`KEPT`), None where it is missing.

    Adds `series` as `experiments.select` does. If a series has several numbers of shots, only the largest is there. The
    datasets are those of the average rows in tables.
    """
    selected = experiments.select(experiment, records)
    selected = selected[selected["shots"] == selected.groupby("series", observed=True)["shots"].transform("max")]
    selected = _averaged(experiment, selected)
    found = [
        _plain({"draw": ""} | {name: record[name] for name in (*KEY, *KEPT) if name in record})
        for path in progress.track(metrics, "confidence", "file")
        for record in io.read_json(path, "metrics")["records"]
    ]
    key = [*KEY, "half"]
    kept = pd.DataFrame(found, columns=[*key, *KEPT]).drop_duplicates(key)
    return selected[[*key, "series"]].merge(kept, on=key, how="left")


def _averaged(experiment: Mapping[str, Any], selected: pd.DataFrame) -> pd.DataFrame:
    """Without datasets that have a group of a single class, and, if there are several others, without tests on the dataset trained
    on.
    """
    marked = selected.assign(one_class=selected["classes"] == 1)
    selected = selected[selected["target"].isin(without_single_classes(selected["target"].unique(), marked))]
    if experiment["table"] not in TRANSFER_KINDS:
        return selected
    trained = selected["shots"] > 0
    sources = set(selected.loc[trained, "dataset"])
    untrained_on = next(iter(sources)) if len(sources) == 1 else ""
    others = selected[selected["target"] != selected["dataset"].where(trained, untrained_on)]
    return others if others["target"].nunique() > 1 else selected


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """A record with the number of its class halves as `half`, and base or new as its target, as in `experiments.select`."""
    target, half = half_of(record["target_subset"])
    return record | {"target_subset": target, "half": half or half_of(record["subset"])[1]}


def reliability(data: Data, kept: pd.DataFrame) -> Figure | None:
    """A panel per series and group of classes: the accuracy of each bin of confidence, and how many images it has.

    A panel with missing runs says so. kept: result of `read`. None if no dataset is left to show.
    """
    groups = groups_of(kept)
    if not groups:
        return None
    columns = max(1, COLUMNS // len(groups)) * len(groups)
    lines = math.ceil(len(data.labels) * len(groups) / columns)
    figure = style.canvas(0.9 + PANEL_INCHES * lines)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    panels = [(name, group) for name in data.labels for group in groups]
    for axes, (name, group) in zip(grid.flat, panels, strict=False):
        axes.set_title(f"{data.labels[name]}: {group}", fontsize=8)
        part = kept[(kept["series"] == name) & (kept["target_subset"] == group)]
        if _complete(axes, part["reliability"]):
            _bars(axes, list(part["reliability"]), data.looks[name].color)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    grid[0, 0].set(xlim=(0, 100), ylim=(0, 100), xticks=(0, 50, 100), yticks=(0, 50, 100))
    figure.supxlabel("Confidence in per cent", fontsize=9)
    figure.supylabel("Accuracy in per cent", fontsize=9)
    handles = [Line2D([], [], color="black", linestyle=":"), Patch(facecolor="0.75", edgecolor="0.45")]
    style.legend(figure, handles, ["confidence = accuracy", "share of images"])
    return figure


def risk_coverage(data: Data, kept: pd.DataFrame) -> Figure | None:
    """A panel per group of classes: the error of the most confident images over their share, a mean over datasets and seeds.

    A series with missing runs is left out, and named in the panel. kept: result of `read`. None if no dataset is left to show.
    """
    groups = groups_of(kept)
    if not groups:
        return None
    figure = style.canvas(3.1)
    grid = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    for axes, group in zip(grid, groups, strict=True):
        missing = []
        for name in data.labels:
            curves = kept.loc[(kept["series"] == name) & (kept["target_subset"] == group), "risk_coverage"]
            if curves.empty or curves.isna().any():
                missing.append(data.labels[name])
                continue
            mean, look = 100 * np.mean([*curves], axis=0), data.looks[name]
            coverage = 100 * np.arange(1, len(mean) + 1) / len(mean)
            axes.plot(
                coverage, mean, color=look.color, linestyle=look.line, marker=look.marker, markersize=3, linewidth=1.2
            )
        if missing:
            axes.text(
                0.02, 0.98, f"missing: {', '.join(missing)}", transform=axes.transAxes, va="top", fontsize=6, wrap=True
            )
        axes.set_title(METRICS[group])
        axes.set_xlim(0, 102)
        axes.set_ylim(bottom=0)
    figure.supxlabel("Coverage: the share of the most confident images, in per cent", fontsize=9)
    figure.supylabel("Error of these images in per cent", fontsize=9)
    looks = [data.looks[name] for name in data.labels]
    handles = [Line2D([], [], color=look.color, marker=look.marker, linestyle=look.line) for look in looks]
    style.legend(figure, handles, list(data.labels.values()))
    return figure


def mean_ece(diagrams: Sequence[Mapping[str, Sequence[float]]]) -> float:
    """The mean of the calibration errors (a fraction) of reliability diagrams."""
    errors = []
    for diagram in diagrams:
        apart = np.abs(np.array(diagram["right"]) - np.array(diagram["confidence"]))
        errors.append(apart.sum() / np.sum(diagram["images"]))
    return float(np.mean(errors))


def groups_of(kept: pd.DataFrame) -> list[str]:
    there = set(kept["target_subset"])
    return [group for group in METRICS if group in there]


def _complete(axes: Axes, values: pd.Series) -> bool:
    """Whether there are values and none is missing; else the panel says so."""
    if len(values) and values.notna().all():
        return True
    axes.text(0.5, 0.5, "missing", transform=axes.transAxes, ha="center", va="center", style="italic", color="0.35")
    return False


def _bars(axes: Axes, diagrams: Sequence[Mapping[str, Sequence[float]]], color: Any) -> None:
    stacked = {name: np.array([diagram[name] for diagram in diagrams]) for name in ("images", "confidence", "right")}
    images, right = stacked["images"].sum(0), stacked["right"].sum(0)
    bins, share = len(images), images / images.sum()
    edges, there = 100 * np.arange(bins + 1) / bins, images > 0
    faces = [to_rgba(color, 0.55 if part >= FEW else 0.0) for part in share[there]]
    heights = 100 * right[there] / images[there]
    axes.bar(edges[:-1][there], heights, 100 / bins, align="edge", color=faces, edgecolor=color, zorder=2)
    axes.stairs(100 * share, edges, fill=True, color=to_rgba("black", 0.3), zorder=3)
    axes.plot([0, 100], [0, 100], color="black", linestyle=":", linewidth=1, zorder=4)
    box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
    text = f"ECE {100 * mean_ece(diagrams):.2f}"
    axes.text(0.04, 0.94, text, transform=axes.transAxes, va="top", fontsize=7, bbox=box, zorder=5)
