"""Training curves: loss and accuracy over epochs, from every run's history.csv."""

import io as text_io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cocoop.config.draw import Draw, level_of
from cocoop.errors import UserError, listed
from cocoop.reporting.figures import looks as of
from cocoop.reporting.figures import style
from cocoop.reporting.figures.data import MOST_IN_LEGEND, Data
from cocoop.reporting.figures.looks import Look
from cocoop.reporting.records.cost import job_of
from cocoop.reporting.records.records import read_text
from cocoop.run import parsed_as

COLUMNS = ["seed", "epoch", "lr", "loss", "accuracy"]
PANELS = {"loss": "Training loss", "accuracy": "Training accuracy (per cent)"}
PANEL_INCHES = 1.5
AROUND_INCHES = 0.3
LEAST_LOSS = 0.02


def read(paths: Sequence[Path]) -> pd.DataFrame:
    """All histories in one frame: `COLUMNS`, backbone, dataset, subset, variant, shots, draw, progress (share of all epochs)."""
    parts = []
    for path in paths:
        settings = job_of(path).settings
        part = pd.read_csv(text_io.StringIO(read_text(path, "history")))
        lacking = [column for column in COLUMNS if column not in part]
        if lacking:
            raise UserError(f"{path}: columns {listed(lacking)} are missing; delete it and run again.")
        if part.empty:  # a method that learns by itself has no epochs
            continue
        part = part.assign(progress=part["epoch"] / part["epoch"].max())
        draw = level_of(parsed_as(Draw, settings.get("draw", {}), str(path)).text)
        described = {key: settings[key] for key in ("dataset", "subset", "variant", "shots")}
        parts.append(part.assign(backbone=settings["backbone"]["name"], **described, draw=draw))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*COLUMNS, "progress", "variant"])


def draw(data: Data, history: pd.DataFrame) -> Figure | None:
    """One row of panels per dataset trained on: mean over seeds, band from the lowest to the highest seed.

    Variants train for different numbers of epochs, so the axis shows the share of the training. If there are several numbers
    of shots, only the largest is shown; if there are several draws, only the first one of the experiment. None if nothing was
    trained by gradient.
    """
    variants = {variant["name"]: variant["label"] for variant in data.experiment["variants"]}
    shown = shown_of(data, history)
    if shown.empty:
        return None
    datasets = [name for name in data.datasets if name in set(shown["dataset"])]
    there = [name for name in variants if name in set(shown["variant"])]
    many = len(there) > MOST_IN_LEGEND
    inches = style.panel_inches(PANEL_INCHES, AROUND_INCHES, len(there) if many else 0)
    figure = style.canvas(0.8 + inches * len(datasets))
    grid = figure.subplots(len(datasets), len(PANELS), squeeze=False, sharex=True)
    looks = of.of_variants(data.experiment)
    for line, dataset in zip(grid, datasets, strict=True):
        for axes, (quantity, title) in zip(line, PANELS.items(), strict=True):
            ends = _panel(axes, shown[shown["dataset"] == dataset], quantity, looks)
            if quantity == "accuracy":
                style.accuracy_limits(axes, "y")
            else:
                style.widen(axes, "y", LEAST_LOSS)
            axes.set_title(title if dataset == datasets[0] else "")
        if many:
            style.direct_labels(axes, ends, variants, looks, inches - AROUND_INCHES)
        line[0].set_ylabel(data.datasets[dataset])
    figure.supxlabel("Share of the training, in per cent of its epochs", fontsize=9)
    handles = [Line2D([], [], color=looks[name].color, linestyle=looks[name].line) for name in there]
    style.legend(figure, handles, [variants[name] for name in there])
    return figure


def shown_of(data: Data, history: pd.DataFrame) -> pd.DataFrame:
    """The rows of the history that are drawn."""
    names = [variant["name"] for variant in data.experiment["variants"]]
    shown = history[history["variant"].isin(names)]
    if shown.empty:
        return shown
    shown = shown[shown["shots"] == shown["shots"].max()]
    return shown[shown["draw"] == _first_draw(data, shown)]


def _first_draw(data: Data, shown: pd.DataFrame) -> str:
    """The label noise and imbalance of the experiment's first trained series that has a history."""
    there = set(shown["draw"])
    return next(draw for draw in [*data.summary.sort_values("series")["draw"], *sorted(there)] if draw in there)


def _panel(axes: Axes, part: pd.DataFrame, quantity: str, looks: dict[str, Look]) -> dict[str, tuple[float, float]]:
    """Draws a panel; the last point of each variant."""
    scale = 100 if quantity == "accuracy" else 1
    ends = {}
    for name, rows in part.groupby("variant", sort=True):
        over_seeds = scale * rows.groupby("progress")[quantity].agg(["mean", "min", "max"])
        axes.plot(
            100 * over_seeds.index,
            over_seeds["mean"],
            color=looks[name].color,
            linestyle=looks[name].line,
            linewidth=1.2,
        )
        axes.fill_between(
            100 * over_seeds.index, over_seeds["min"], over_seeds["max"], color=looks[name].color, alpha=0.15, lw=0
        )
        ends[name] = (100.0, over_seeds["mean"].iloc[-1])
    return ends
