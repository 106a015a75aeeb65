"""What each variant costs: seconds per run and memory, from every job's cost.json."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cocoop import io
from cocoop.reporting.figures import style
from cocoop.reporting.figures.data import Data, job_of

STAGES = {"train": "Training", "evaluate": "Evaluation"}
MEMORY = {"peak_mb": "Peak memory of the process (MB)", "peak_gpu_mb": "Peak memory of the GPU (MB)"}


def read(paths: Sequence[Path]) -> pd.DataFrame:
    """One row per job: stage, dataset, variant, shots, target, seconds per run (a job runs several seeds), peak_mb, peak_gpu_mb."""
    rows = []
    for path in paths:
        stage, settings, target = job_of(path)
        cost = io.read_json(path, "cost")
        key = {name: settings[name] for name in ("dataset", "variant", "shots")}
        memory = {name: cost[name] for name in MEMORY}
        rows.append(
            {"stage": stage, **key, "target": target, "seconds": cost["seconds"] / len(settings["seeds"]), **memory}
        )
    columns = ["stage", "dataset", "variant", "shots", "target", "seconds", *MEMORY]
    return pd.DataFrame(rows, columns=columns)


def draw(data: Data, cost: pd.DataFrame) -> Figure:
    """Per variant, bars of the mean over its jobs: seconds of a run by stage, memory of the process and of the GPU."""
    variants = {variant["name"]: variant["label"] for variant in data.experiment["variants"]}
    shown = cost[cost["variant"].isin(list(variants))]
    if shown.empty:
        return style.note("No cost was measured for the runs of this experiment.")
    memory = [name for name in MEMORY if shown[name].fillna(0).gt(0).any()]
    there = [name for name in variants if name in set(shown["variant"])]
    figure = style.canvas(0.9 + 0.42 * len(there))
    grid = figure.subplots(1, 1 + len(memory), squeeze=False, sharey=True)[0]
    looks = style.looks(STAGES)
    stages = [stage for stage in STAGES if stage in set(shown["stage"])]
    for axes, quantity in zip(grid, ["seconds", *memory], strict=True):
        for place, stage in enumerate(stages):
            means = shown[shown["stage"] == stage].groupby("variant")[quantity].mean().reindex(there)
            _bars(axes, means, place - (len(stages) - 1) / 2, 0.8 / len(stages), looks[stage])
        axes.set_xlabel("Seconds per run" if quantity == "seconds" else MEMORY[quantity], fontsize=8)
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.22)
        axes.set_xlim(left=0)
    grid[0].set_yticks(range(len(there)), [variants[name] for name in there])
    grid[0].invert_yaxis()
    handles = [Patch(facecolor=looks[stage].color, hatch=looks[stage].hatch, edgecolor="black") for stage in stages]
    style.legend(figure, handles, [STAGES[stage] for stage in stages])
    return figure


def _bars(axes: Axes, means: pd.Series, place: float, height: float, look: style.Look) -> None:
    for line, value in enumerate(means):
        if pd.notna(value):
            y = line + place * height
            axes.barh(y, value, height, color=look.color, hatch=look.hatch, edgecolor="black", linewidth=0.5)
            axes.text(value, y, f" {value:,.0f}" if value >= 10 else f" {value:.2g}", va="center", fontsize=6)
