"""What each variant costs: seconds per run and memory, as bars, and its accuracy against them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from cocoop.reporting.figures import looks, style
from cocoop.reporting.figures.data import METRICS, Data
from cocoop.reporting.figures.looks import HATCHES, Look
from cocoop.reporting.records.cost import per_variant
from cocoop.reporting.records.statistics import AVERAGE

STAGES = {"train": "Training", "evaluate": "Evaluation"}
MEMORY = {"peak_mb": "Peak memory of the process (MB)", "peak_gpu_mb": "Peak memory of the GPU (MB)"}
QUANTITIES = {"train_seconds": "Seconds of a training run", "trained": "Learned parameters", **MEMORY}
PANEL_INCHES = 2.3
AROUND_INCHES = 0.75


def draw(data: Data, cost: pd.DataFrame) -> Figure | None:
    """Bars per variant: mean seconds of a run by stage, mean memory of the process and of the GPU over its jobs.

    cost: result of `cocoop.reporting.records.cost.read`. None if nothing was measured.
    """
    variants = {variant["name"]: variant["label"] for variant in data.experiment["variants"]}
    shown = cost[cost["variant"].isin(list(variants))]
    if shown.empty:
        return None
    memory = [name for name in MEMORY if shown[name].fillna(0).gt(0).any()]
    there = [name for name in variants if name in set(shown["variant"])]
    figure = style.canvas(0.9 + 0.42 * len(there))
    grid = figure.subplots(1, 1 + len(memory), squeeze=False, sharey=True)[0]
    stages = [stage for stage in STAGES if stage in set(shown["stage"])]
    hatches = dict(zip(STAGES, HATCHES, strict=False))
    of_variants = looks.of_variants(data.experiment)
    for axes, quantity in zip(grid, ["seconds", *memory], strict=True):
        for place, stage in enumerate(stages):
            means = shown[shown["stage"] == stage].groupby("variant")[quantity].mean().reindex(there)
            offset, height = place - (len(stages) - 1) / 2, 0.8 / len(stages)
            _bars(axes, means, offset, height, of_variants, hatches[stage])
        axes.set_xlabel("Seconds per run" if quantity == "seconds" else MEMORY[quantity], fontsize=8)
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.22)
        axes.set_xlim(left=0)
    grid[0].set_yticks(range(len(there)), [variants[name] for name in there])
    grid[0].set_ylim(len(there) - 0.5, -0.5)
    handles = [Patch(facecolor="white", hatch=hatches[stage], edgecolor="black") for stage in stages]
    style.legend(figure, handles, [STAGES[stage] for stage in stages])
    return figure


def _bars(
    axes: Axes, means: pd.Series, place: float, height: float, of_variants: Mapping[str, Look], hatch: str
) -> None:
    for line, (variant, value) in enumerate(means.items()):
        if pd.notna(value):
            y, color = line + place * height, of_variants[str(variant)].color
            axes.barh(y, value, height, color=color, hatch=hatch, edgecolor="black", linewidth=0.5)
            axes.text(value, y, f" {value:,.0f}" if value >= 10 else f" {value:.2g}", va="center", fontsize=6)


def draw_accuracy(data: Data, cost: pd.DataFrame) -> Figure | None:
    """One panel per kind of cost, one point per series: its accuracy (H, where there is one) against that cost.

    The accuracy is the average over the datasets, or that of the last dataset where there is no average, with whiskers of
    one standard deviation over seeds (ddof 1). Of several numbers of shots the largest is shown. Seconds and parameters are
    on logarithmic axes; a variant without such a cost, such as an untrained one, is a horizontal line. None if no cost was
    measured or no accuracy is complete.
    """
    points = points_of(data, cost)
    points = points[points["mean"].notna()]
    quantities = [name for name in QUANTITIES if points[name].gt(0).any()]
    if not quantities:
        return None
    lines = (len(quantities) + 1) // 2
    inches = style.panel_inches(PANEL_INCHES, AROUND_INCHES, len(data.labels) if data.many else 0)
    figure = style.canvas(0.8 + inches * lines)
    grid = figure.subplots(lines, min(2, len(quantities)), squeeze=False, sharey=True)
    for axes, quantity in zip(grid.flat, quantities, strict=False):
        ends = _scatter(axes, data, points.to_dict("records"), quantity)
        axes.set_xlabel(QUANTITIES[quantity], fontsize=8)
        if data.many:
            style.direct_labels(axes, ends, data.labels, data.looks, inches - AROUND_INCHES)
    for axes in grid.flat[len(quantities) :]:
        axes.set_visible(False)
    target, metric = points.iloc[0][["target", "metric"]]
    style.left_label(grid, f"{METRICS[metric]} in per cent, {data.titles[target]}")
    handles = [
        Line2D([], [], color=look.color, marker=look.marker, linestyle="none")
        for look in (data.looks[name] for name in data.labels)
    ]
    style.legend(figure, handles, list(data.labels.values()))
    return figure


def points_of(data: Data, cost: pd.DataFrame) -> pd.DataFrame:
    """The rows of the summary that are drawn, with their cost."""
    metric = "h" if "h" in data.metrics() else data.metrics()[0]
    target = AVERAGE if AVERAGE in data.titles else list(data.titles)[-1]
    summary = data.summary[(data.summary["metric"] == metric) & (data.summary["target"] == target)]
    most = summary.groupby("series", observed=True)["shots"].transform("max")
    counts = data.summary.groupby(["series", "shots"], observed=True)["trained"].max().rename("counted").reset_index()
    points = summary[summary["shots"] == most].merge(counts, on=["series", "shots"], how="left")
    return points.assign(trained=points["counted"]).merge(
        per_variant(cost), on=["variant", "shots", "draw"], how="left"
    )


def _scatter(axes: Axes, data: Data, points: list[dict[str, Any]], quantity: str) -> dict[str, tuple[float, float]]:
    """Draws a panel; the point of each series that a label belongs to."""
    values = [float(point[quantity]) for point in points if pd.notna(point[quantity]) and point[quantity] > 0]
    right = max(values) * (1.1 if quantity in MEMORY else 1.6)
    ends: dict[str, tuple[float, float]] = {}
    for point in points:
        look, value, mean = data.looks[point["series"]], point[quantity], 100 * point["mean"]
        if pd.isna(value) or not value > 0:
            axes.axhline(mean, color=look.color, linestyle=look.line, linewidth=1.2)
            ends[point["series"]] = (right, mean)
            continue
        whisker = style.whisker(mean, 100 * point["std"])
        axes.errorbar(
            value, mean, yerr=whisker, color=look.color, marker=look.marker, markersize=6, capsize=2, elinewidth=0.8
        )
        ends[point["series"]] = (value, mean)
    if quantity in MEMORY:
        axes.set_xlim(0, right)
    else:
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 1.6, right)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if right < 50 * min(values) else (1,)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    style.accuracy_limits(axes, "y")
    return ends
