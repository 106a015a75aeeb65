"""The paper's bar charts: the change in accuracy against another method, per dataset."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cocoop import metrics
from cocoop.reporting.figures import style
from cocoop.reporting.figures.data import METRICS, Data
from cocoop.reporting.records.statistics import AVERAGE

BAR_INCHES = 0.17
LEAST_POINTS = 2.0


def draw(data: Data, method: str) -> Figure | None:
    """Horizontal bars per dataset and variant, one panel per group of classes, sorted by the change, with the average on top.

    method: the method compared with; its first variant is the reference. Whiskers: standard deviation (ddof 1) of the
    change over seeds. A change with missing runs is written as missing. None if there is nothing to compare.
    """
    reference = data.first_of(method)
    series = [name for name in data.labels if name != reference]
    if reference is None or not series:
        return None
    changes = against(data, reference)
    panels = [metric for metric in data.metrics() if metric != "h"]
    sources = list(dict.fromkeys(data.summary["source"]))
    count = data.summary["target"].nunique()
    figure = style.canvas(1.1 + len(sources) * count * (0.12 + BAR_INCHES * len(series)))
    grid = figure.subplots(len(sources), len(panels), squeeze=False, sharex=True)
    for line, source in zip(grid, sources, strict=True):
        for axes, metric in zip(line, panels, strict=True):
            part = changes[(changes["metric"] == metric) & (changes["source"] == source)]
            _panel(axes, data, part, series)
            axes.set_title(METRICS[metric] + (f", trained on {data.datasets[source]}" if source else ""))
    style.widen(grid[0, 0], "x", LEAST_POINTS)
    figure.supxlabel(f"Change against {data.labels[reference]} in percentage points", fontsize=9)
    looks = [data.looks[name] for name in series]
    handles = [Patch(facecolor=look.color, hatch=look.hatch, edgecolor="black") for look in looks]
    style.legend(figure, handles, [data.labels[name] for name in series])
    return figure


def against(data: Data, reference: str) -> pd.DataFrame:
    """Change of every series against a reference, in percentage points: source, target, metric, series, change, std, one_class.

    Paired by class half and seed; the single value of an untrained reference is compared with every seed, that of all classes
    also with every half.
    """
    keys = ["source", "target", "metric"]
    own = data.values[data.values["series"] != reference]
    other = data.values[data.values["series"] == reference].rename(columns={"value": "other", "shots": "other_shots"})
    single = (other["other_shots"] == 0).all()
    own = own.assign(of_half=own["half"].mask((own["metric"] == "all") & single, 0))
    on = [*keys, "of_half"] if single else [*keys, "of_half", "seed"]
    joined = own.merge(other.rename(columns={"half": "of_half"})[[*on, "other"]], on=on, how="left")
    if not single:
        joined = _with_single_values(joined, other, keys)
    joined["change"] = 100 * (joined["value"] - joined["other"])
    rows = []
    for key, part in joined.groupby([*keys, "series"], sort=False):
        changes = [None if pd.isna(value) else float(value) for value in part["change"]]
        spread = metrics.sample_std([value for value in changes if value is not None]) if None not in changes else None
        mean = metrics.mean(changes)
        mean = None if mean is None else round(mean, 9) + 0.0  # no -1e-17 where nothing changes
        rows.append((*key, mean, spread, part["one_class"].any()))
    columns = [*keys, "series", "change", "std", "one_class"]
    return pd.DataFrame(rows, columns=columns).astype({"change": "float64", "std": "float64"})


def _with_single_values(joined: pd.DataFrame, other: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Compares an untrained series (one value, seed 0) with the reference's mean over seeds."""
    means = other.groupby(keys)["other"].agg(lambda values: values.mean(skipna=False)).rename("mean").reset_index()
    joined = joined.merge(means, on=keys, how="left")
    joined["other"] = joined["other"].where(joined["shots"] > 0, joined["mean"])
    return joined


def _panel(axes: Axes, data: Data, changes: pd.DataFrame, series: list[str]) -> None:
    order = _order(changes, data, series)
    height = 0.8 / len(series)
    places = {(row.target, row.series): row for row in changes.itertuples()}
    for line, target in enumerate(order):
        for number, name in enumerate(series):
            row = places.get((target, name))
            y = line + (number - (len(series) - 1) / 2) * height
            if row is None:
                continue
            if pd.isna(row.change):
                why = " one class only" if row.one_class else " missing"
                axes.text(0, y, why, va="center", ha="left", fontsize=6, style="italic", color="0.35")
                continue
            look = data.looks[name]
            axes.barh(y, row.change, height, color=look.color, hatch=look.hatch, edgecolor="black", linewidth=0.5)
            _whisker(axes, row.change, row.std, y, data.labels[name] if data.many else "")
    source = changes["source"].iloc[0]
    axes.set_yticks(range(len(order)), [data.titles[name] + (" (source)" if name == source else "") for name in order])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_ylim(len(order) - 0.5, -0.5)
    if order[0] == AVERAGE:
        axes.axhline(0.5, color="0.5", linewidth=0.8)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.7 if data.many else 0.24)


def _whisker(axes: Axes, change: float, std: float, y: float, label: str) -> None:
    """The spread of a bar, and at its end the change, followed by the series' label if it is not empty."""
    ends = style.whisker(change, std, -100.0)
    if std > 0:
        axes.errorbar(change, y, xerr=ends, color="black", linewidth=0.8, capsize=1.5)
    end = change + ends[1][0] if change >= 0 else change - ends[0][0]
    side = "left" if change >= 0 else "right"
    text = f"{style.signed(change)} {label}".strip()
    axes.annotate(
        text,
        (end, y),
        xytext=(2 if change >= 0 else -2, 0),
        textcoords="offset points",
        va="center",
        ha=side,
        fontsize=6,
    )


def _order(changes: pd.DataFrame, data: Data, series: list[str]) -> list[str]:
    """The average first, then the datasets from the largest gain of the last variant to its largest loss, missing ones last."""
    last = changes[changes["series"] == series[-1]].set_index("target")["change"]
    there = [target for target in data.titles if target in set(changes["target"])]
    return sorted(
        there, key=lambda name: (name != AVERAGE, -last.get(name) if pd.notna(last.get(name)) else float("inf"))
    )
