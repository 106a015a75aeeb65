"""Few-shot curves: accuracy over the number of shots, with the spread over seeds."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cocoop.config.draw import ALL_SHOTS, shots_text
from cocoop.reporting.figures import style
from cocoop.reporting.figures.data import METRICS, Data

COLUMNS = 3
PANEL_INCHES = 1.9
AROUND_INCHES = 0.6  # height of a panel's title and tick labels
SIDE = 1.2  # the axis extends from the smallest number of shots divided by this to the largest times this


def draw(data: Data) -> Figure:
    """One panel per dataset (the average first) and group of classes; untrained variants are horizontal lines.

    Bands show mean ± standard deviation (ddof 1) over seeds, within 0 and 100. A number of shots with missing runs has no
    point. With more series than a legend can keep apart, panels are larger, each series is also labelled at its last point,
    and bands are fainter.
    """
    panels = [(target, metric) for target in data.titles for metric in data.metrics() if metric != "h"]
    columns = min(COLUMNS - data.many, len(panels))
    lines = math.ceil(len(panels) / columns)
    inches = style.panel_inches(PANEL_INCHES, AROUND_INCHES, len(data.labels) if data.many else 0)
    figure = style.canvas(0.7 + inches * lines)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, (target, metric) in zip(grid.flat, panels, strict=False):
        part = data.summary[(data.summary["target"] == target) & (data.summary["metric"] == metric)]
        ends = _panel(axes, part, data, sorted({int(shots) for shots in data.summary["shots"] if shots}))
        if data.many and ends:
            style.direct_labels(axes, ends, data.labels, data.looks, inches - AROUND_INCHES)
        several = len(data.metrics()) > 1
        axes.set_title(data.titles[target] + (f", {METRICS[metric].lower()}" if several else ""))
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    figure.supxlabel("Shots (images per class)", fontsize=9)
    style.left_label(grid, "Accuracy in per cent")
    handles = [
        Line2D([], [], color=look.color, marker=look.marker, linestyle=look.line)
        for look in (data.looks[name] for name in data.labels)
    ]
    style.legend(figure, handles, list(data.labels.values()))
    return figure


def _at(number: int, shots: list[int]) -> float:
    """The place of a number of shots: `all` is twice as far as the largest number."""
    numbers = [each for each in shots if each != ALL_SHOTS]
    return number if number != ALL_SHOTS else 2 * max(numbers, default=1)


def _panel(axes: Axes, part: pd.DataFrame, data: Data, shots: list[int]) -> dict[str, tuple[float, float]]:
    """Draws a panel; the last point of each series."""
    if part["mean"].isna().all():
        style.mark_empty(axes, part)
        axes.set_yticks([])
        return {}
    untrained = bool((part["shots"] == 0).any())
    none = _at(shots[0], shots) / 2 if shots else 1.0  # the place of 0 shots on a logarithmic axis
    ticks: dict[float, str] = {none: "0"} if untrained else {}
    ticks |= {_at(number, shots): shots_text(number) for number in shots}
    right = max(ticks) * SIDE
    ends: dict[str, tuple[float, float]] = {}
    for name, rows in part.groupby("series", observed=True, sort=True):
        look, rows = data.looks[name], rows.sort_values("shots")
        mean = 100 * rows["mean"]
        last = rows.index[rows["mean"].notna()]
        if (rows["shots"] == 0).all():
            axes.axhline(mean.iloc[0], color=look.color, linestyle=look.line, linewidth=1.2)
            axes.plot(none, mean.iloc[0], color=look.color, marker=look.marker, markersize=5)
            ends |= {name: (right, mean.iloc[0])} if len(last) else {}
            continue
        places = rows["shots"].map(lambda number: _at(number, shots))
        axes.plot(places, mean, color=look.color, marker=look.marker, linestyle=look.line, linewidth=1.3, markersize=4)
        std = 100 * rows["std"].fillna(0)
        axes.fill_between(
            places,
            (mean - std).clip(lower=0),
            (mean + std).clip(upper=100),
            color=look.color,
            alpha=0.05 if data.many else 0.18,
            linewidth=0,
        )
        ends |= {name: (places[last[-1]], mean[last[-1]])} if len(last) else {}
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(ticks) / SIDE, right)
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    style.accuracy_limits(axes, "y")
    return ends
