"""H (or accuracy, if there is no H) against the number of trained parameters."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from cocoop.reporting.figures import style
from cocoop.reporting.figures.data import METRICS, Data
from cocoop.reporting.figures.looks import Look
from cocoop.reporting.records.text import count

COLUMNS = 3
PANEL_INCHES = 1.9
AROUND_INCHES = 0.6
APART = 1.15


def draw(data: Data) -> Figure:
    """One panel per dataset (the average first) and one point per variant; whiskers: one standard deviation over seeds (ddof 1)."""
    metric = "h" if "h" in data.metrics() else data.metrics()[0]
    summary = data.summary[data.summary["metric"] == metric]
    columns = min(COLUMNS - data.many, len(data.titles))
    lines = math.ceil(len(data.titles) / columns)
    inches = style.panel_inches(PANEL_INCHES, AROUND_INCHES, len(data.labels) if data.many else 0)
    figure = style.canvas(0.9 + inches * lines)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, (target, title) in zip(grid.flat, data.titles.items(), strict=False):
        ends = _panel(axes, summary[summary["target"] == target], data.looks)
        if data.many and ends:
            style.direct_labels(axes, ends, data.labels, data.looks, inches - AROUND_INCHES)
        axes.set_title(title)
    for axes in grid.flat[len(data.titles) :]:
        axes.set_visible(False)
    figure.supxlabel("Trained parameters, counted from the tensors (nearly equal numbers are drawn apart)", fontsize=9)
    style.left_label(grid, f"{METRICS[metric]} in per cent")
    counts = {name: rows["trained"].max() for name, rows in summary.groupby("series", observed=True)}
    untrained = {variant["name"] for variant in data.experiment["variants"] if not variant["trainable"]}
    handles = [_handle(data.looks[name], name not in untrained) for name in data.labels]
    style.legend(figure, handles, [f"{label} ({count(counts[name])})" for name, label in data.labels.items()])
    return figure


def _handle(look: Look, trained: bool) -> Line2D:
    """A marker for a trained variant, a horizontal line for an untrained one."""
    shown = {"marker": look.marker, "linestyle": "none"} if trained else {"linestyle": look.line}
    return Line2D([], [], color=look.color, **shown)


def _panel(axes: Axes, part: pd.DataFrame, looks: dict[str, Look]) -> dict[str, tuple[float, float]]:
    """Draws a panel; the point of each series that a label belongs to."""
    if part["mean"].isna().all():
        style.mark_empty(axes, part)
        axes.set_yticks([])
        return {}
    ends: dict[str, tuple[float, float]] = {}
    counts = sorted({int(number) for number in part["trained"].dropna() if number})
    places = _apart(counts)
    for row in part.itertuples():
        look = looks[row.series]
        if pd.isna(row.mean):
            continue
        if pd.isna(row.trained) or not row.trained:
            axes.axhline(100 * row.mean, color=look.color, linestyle=look.line, linewidth=1.2)
            ends[row.series] = (max(places.values(), default=1.0), 100 * row.mean)
            continue
        axes.errorbar(
            places[int(row.trained)],
            100 * row.mean,
            yerr=style.whisker(100 * row.mean, 100 * row.std),
            color=look.color,
            marker=look.marker,
            markersize=6,
            capsize=2,
        )
        ends[row.series] = (places[int(row.trained)], 100 * row.mean)
    _parameter_axis(axes, counts)
    style.accuracy_limits(axes, "y")
    return ends


def _apart(counts: list[int]) -> dict[int, float]:
    """The position of each number of parameters; nearly equal ones are moved apart so that their whiskers do not overlap."""
    places: dict[int, float] = {}
    for number in counts:
        nearest = max(places.values(), default=0.0)
        places[number] = max(float(number), nearest * APART)
    return places


def _parameter_axis(axes: Axes, counts: list[int]) -> None:
    if not counts:
        axes.set_xticks([])
        return
    axes.set_xscale("log")
    if counts[-1] < 10 * counts[0]:
        axes.set_xlim(counts[0] / 1.6, counts[-1] * 1.6)
    apart = [number for place, number in enumerate(counts) if not place or number > 1.5 * counts[place - 1]]
    axes.set_xticks(apart, [count(number) for number in apart], fontsize=7)
    axes.xaxis.set_minor_formatter(NullFormatter())
