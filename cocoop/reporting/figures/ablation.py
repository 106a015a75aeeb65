"""Initialization and context length: the accuracy of each variant, on average and on each dataset."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cocoop.reporting.figures import style
from cocoop.reporting.figures.data import METRICS, Data
from cocoop.reporting.figures.looks import MARKERS

COLUMNS = 2


def draw(data: Data) -> Figure:
    """One panel per dataset (the average first), with a row per variant: base, new and H with their spread over seeds.

    As in all figures, the colour is that of the variant; the marker shows the metric.
    """
    metrics, series = data.metrics(), list(data.labels)
    columns = min(COLUMNS, len(data.titles))
    lines = math.ceil(len(data.titles) / columns)
    figure = style.canvas(0.9 + lines * (0.5 + 0.24 * len(series)))
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    markers = dict(zip(metrics, MARKERS, strict=False))
    for axes, (target, title) in zip(grid.flat, data.titles.items(), strict=False):
        _panel(axes, data.summary[data.summary["target"] == target], data, markers)
        axes.set_title(title)
        axes.set_yticks(range(len(series)), [data.labels[name] for name in series])
        axes.grid(axis="x", visible=False)
        style.accuracy_limits(axes, "x")
    grid[0, 0].set_ylim(len(series) - 0.5, -0.5)
    for axes in grid.flat[len(data.titles) :]:
        axes.set_visible(False)
    figure.supxlabel("Accuracy in per cent", fontsize=9)
    handles = [Line2D([], [], color="0.2", marker=markers[name], linestyle="none") for name in metrics]
    style.legend(figure, handles, [METRICS[name] for name in metrics])
    return figure


def _panel(axes: Axes, part: pd.DataFrame, data: Data, markers: dict[str, str]) -> None:
    if part["mean"].isna().all():
        style.mark_empty(axes, part)
    series = list(data.labels)
    offsets = {metric: 0.2 * (place - (len(markers) - 1) / 2) for place, metric in enumerate(markers)}
    for row in part.itertuples():
        y = series.index(row.series) + offsets[row.metric]
        if pd.notna(row.mean):
            ends = style.whisker(100 * row.mean, 100 * row.std)
            color, marker = data.looks[row.series].color, markers[row.metric]
            axes.errorbar(100 * row.mean, y, xerr=ends, color=color, marker=marker, markersize=4.5, capsize=1.5)
