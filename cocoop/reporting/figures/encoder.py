"""The accuracy of each method with each backbone, against what an image costs the backbone's image encoder."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator

from cocoop.reporting.figures import style
from cocoop.reporting.figures.data import METRICS, Data
from cocoop.reporting.records.statistics import AVERAGE

QUANTITIES = {
    "image_gflops": "GFLOPs of the image encoder for one image",
    "image_parameters": "Parameters of the image encoder (millions)",
}
IN_UNITS = {"image_gflops": 1.0, "image_parameters": 1e6}
HEIGHT_INCHES = 3.4


def draw(parts: Mapping[str, Data], costs: Mapping[str, pd.DataFrame]) -> Figure | None:
    """One panel per kind of cost, one point per backbone and series; a line joins the points of a series.

    The accuracy is that of `cost.draw_accuracy`; whiskers: one standard deviation over seeds (ddof 1). The cost is counted
    from the architecture (`cocoop.backbone.effort`), so it is the same on every machine. None if the cost of the image encoders
    (results of earlier versions do not state it) or the accuracy is missing.

    parts: the numbers of each backbone by its name. costs: result of `cocoop.reporting.records.cost.read` of each.
    """
    there = points_of(parts, costs)
    if there.empty:
        return None
    data = next(iter(parts.values()))
    figure = style.canvas(0.7 + HEIGHT_INCHES)
    grid = figure.subplots(1, len(QUANTITIES), squeeze=False, sharey=True)[0]
    for axes, (quantity, title) in zip(grid, QUANTITIES.items(), strict=True):
        _panel(axes, there.assign(x=there[quantity] / IN_UNITS[quantity]), data)
        axes.set_xlabel(title, fontsize=8)
    target, metric = there.iloc[0][["target", "metric"]]
    style.left_label(grid[None, :], f"{METRICS[metric]} in per cent, {data.titles[target]}")
    shown = [name for name in data.labels if name in set(there["series"])]
    handles = [
        Line2D([], [], color=look.color, marker=look.marker, linestyle=look.line)
        for look in (data.looks[name] for name in shown)
    ]
    style.legend(figure, handles, [data.labels[name] for name in shown])
    return figure


def points_of(parts: Mapping[str, Data], costs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The points that are drawn: rows of the summaries, with the label of their `backbone` and its `QUANTITIES`."""
    points = pd.concat([_points(data, costs[name]) for name, data in parts.items()], ignore_index=True)
    return points[points["mean"].notna() & points[list(QUANTITIES)].notna().all(axis=1)]


def _points(data: Data, cost: pd.DataFrame) -> pd.DataFrame:
    """The accuracy of each series with a backbone, and the cost of its image encoder."""
    metric = "h" if "h" in data.metrics() else data.metrics()[0]
    target = AVERAGE if AVERAGE in data.titles else list(data.titles)[-1]
    summary = data.summary[(data.summary["metric"] == metric) & (data.summary["target"] == target)]
    most = summary.groupby("series", observed=True)["shots"].transform("max")
    points = summary[summary["shots"] == most].astype({"series": str})
    known = {name: pd.to_numeric(cost[name]).max() for name in QUANTITIES}
    return points.assign(backbone=data.experiment["backbone"]["label"], **known)


def _panel(axes: Axes, points: pd.DataFrame, data: Data) -> None:
    for name in data.labels:
        own, look = points[points["series"] == name].sort_values("x"), data.looks[name]
        axes.errorbar(
            own["x"], 100 * own["mean"], yerr=100 * own["std"].fillna(0), color=look.color, marker=look.marker,
            linestyle=look.line, linewidth=1.0, markersize=5, capsize=2, elinewidth=0.8,
        )  # fmt: skip
    axes.set_xscale("log")
    places = points.drop_duplicates("backbone").sort_values("x")
    axes.set_xlim(places["x"].min() / 1.6, places["x"].max() * 1.6)
    labels = [f"{x:,.3g}\n{name}" for x, name in zip(places["x"], places["backbone"], strict=True)]
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(list(places["x"]), labels, fontsize=6.5, rotation=30, ha="right", rotation_mode="anchor")
    style.accuracy_limits(axes, "y")
