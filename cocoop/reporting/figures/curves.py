"""Few-shot curves: accuracy over the number of shots, with the spread over seeds."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cocoop.reporting.figures import style
from cocoop.reporting.figures.data import METRICS, Data

COLUMNS = 3
PANEL_INCHES = 1.9
SIDE = 1.2  # the first and last number of shots times this: the ends of the axis


def draw(data: Data) -> Figure:
    """One panel per dataset (the average first) and group of classes; untrained variants are level lines.

    Bands: mean ± standard deviation (ddof 1) over seeds. A number of shots whose runs are not all there has no point.
    """
    panels = [(target, metric) for target in data.titles for metric in data.metrics() if metric != "h"]
    columns = min(COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = style.canvas(0.7 + PANEL_INCHES * lines)
    grid = figure.subplots(lines, columns, squeeze=False)
    looks = style.looks(data.labels)
    for axes, (target, metric) in zip(grid.flat, panels, strict=False):
        part = data.summary[(data.summary["target"] == target) & (data.summary["metric"] == metric)]
        _panel(axes, part, looks, sorted({int(shots) for shots in data.summary["shots"] if shots}))
        several = len(data.metrics()) > 1
        axes.set_title(data.titles[target] + (f", {METRICS[metric].lower()}" if several else ""))
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    figure.supxlabel("Shots (images per class)", fontsize=9)
    figure.supylabel("Accuracy in per cent", fontsize=9)
    handles = [
        Line2D([], [], color=looks[name].color, marker=looks[name].marker, linestyle=looks[name].line)
        for name in data.labels
    ]
    style.legend(figure, handles, list(data.labels.values()))
    return figure


def _panel(axes: Axes, part: pd.DataFrame, looks: dict[str, style.Look], shots: list[int]) -> None:
    if part["mean"].isna().all():
        style.mark_empty(axes, part)
        axes.set_yticks([])
        return
    untrained = bool((part["shots"] == 0).any())
    none = shots[0] / 2 if shots else 1.0  # where 0 shots are on a logarithmic axis
    ticks: dict[float, str] = {none: "0"} if untrained else {}
    ticks |= {number: str(number) for number in shots}
    for name, rows in part.groupby("series", observed=True, sort=True):
        look, rows = looks[name], rows.sort_values("shots")
        mean = 100 * rows["mean"]
        if (rows["shots"] == 0).all():
            axes.axhline(mean.iloc[0], color=look.color, linestyle=look.line, linewidth=1.2)
            axes.plot(none, mean.iloc[0], color=look.color, marker=look.marker, markersize=5)
            continue
        axes.plot(
            rows["shots"], mean, color=look.color, marker=look.marker, linestyle=look.line, linewidth=1.3, markersize=4
        )
        std = 100 * rows["std"].fillna(0)
        axes.fill_between(rows["shots"], mean - std, mean + std, color=look.color, alpha=0.18, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(ticks) / SIDE, max(ticks) * SIDE)
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    style.accuracy_limits(axes, "y")
