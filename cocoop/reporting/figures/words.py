"""Title, caption and alternative text of a figure: what is drawn, what whiskers and bands mean, and the main numbers."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from cocoop.config.draw import shots_in_words, shots_text
from cocoop.reporting.figures import changes, confidence, cost, encoder, training
from cocoop.reporting.figures.data import METRICS, Data, Part
from cocoop.reporting.figures.style import signed
from cocoop.reporting.records.experiment import named
from cocoop.reporting.records.statistics import AVERAGE
from cocoop.reporting.records.text import per_cent

MOST_NAMED = 8


class Words(NamedTuple):
    """caption: one paragraph, to stand below the figure; alternative: for readers who cannot see it."""

    title: str
    caption: str
    alternative: str


def of(kind: str, part: Part) -> Words:
    """The words of a figure of one backbone, of a kind in `figures.names`."""
    data, measured, histories, kept = part
    found: Mapping[str, Callable[[], Words]] = {
        "change_vs_clip": lambda: _changes(data, "clip"),
        "change_vs_coop": lambda: _changes(data, "coop"),
        "few_shot_curves": lambda: _curves(data),
        "h_against_parameters": lambda: _parameters(data),
        "ablation": lambda: _ablation(data),
        "training_curves": lambda: _training(data, histories),
        "reliability": lambda: _reliability(data, kept),
        "risk_coverage": lambda: _risk_coverage(data, kept),
        "cost": lambda: _cost(data, measured),
        "accuracy_against_cost": lambda: _accuracy(data, measured),
    }
    return found[kind]()


def across(parts: Mapping[str, Part]) -> Words:
    """The words of `figures.ACROSS`. parts: by the name of the backbone."""
    data = next(iter(parts.values())).data
    points = encoder.points_of(
        {name: part.data for name, part in parts.items()}, {name: part.measured for name, part in parts.items()}
    )
    target, metric = points.iloc[0][["target", "metric"]]
    where, told = f"{METRICS[metric]}, {data.titles[target]}", []
    for backbone, part in points.groupby("backbone", sort=False):
        means = dict(zip((data.labels[series] for series in part["series"]), part["mean"], strict=True))
        told.append(f"{backbone}, {part['image_gflops'].iloc[0]:,.3g} GFLOPs: {ranked(means, per_cent)}.")
    return Words(
        "Accuracy against the cost of the image encoder",
        f"{where}, of each method with each backbone, over what one image costs the backbone's image encoder"
        f"{_spread(data, 'whiskers')}. The cost is counted from the architecture, so it is the same on every machine. A line "
        "joins the backbones of a method.",
        f"Points, a line for each method: accuracy over the cost of an image. {where}, in per cent. {' '.join(told)}",
    )


def _changes(data: Data, method: str) -> Words:
    reference = data.first_of(method)
    assert reference is not None
    label, last = data.labels[reference], [name for name in data.labels if name != reference][-1]
    numbers = changes.against(data, reference)
    whiskers = _spread(data, "whiskers", "of the change of each seed")
    return Words(
        f"Change against {label}",
        f"Difference in accuracy to {label} in percentage points{whiskers}. Datasets are sorted by the change of "
        f"{data.labels[last]}, the average first. One panel for each group of classes.",
        f"Horizontal bars: change in accuracy against {label} in percentage points. {_numbers(data, numbers, 'change', signed)}",
    )


def _curves(data: Data) -> Words:
    shots = sorted({int(number) for number in data.summary["shots"] if number})
    most = data.summary.groupby(["series", "target", "metric"], observed=True)["shots"].transform("max")
    at_most = f"With the largest number of shots, {shots_text(shots[-1])}: " if shots else ""
    last = data.summary[data.summary["shots"] == most]
    return Words(
        "Accuracy over the number of shots",
        f"Accuracy over the number of training images per class{_spread(data, 'bands')}. A method without training is a "
        "horizontal line.",
        f"Lines: accuracy over {', '.join(map(shots_text, shots)) or 'no'} shots. {at_most}{_numbers(data, last, 'mean')}",
    )


def _parameters(data: Data) -> Words:
    metric = _main_metric(data)
    return Words(
        f"{METRICS[metric]} against trained parameters",
        f"{METRICS[metric]} over the number of trained parameters{_spread(data, 'whiskers')}. A method without training is a "
        "horizontal line.",
        f"Points: {METRICS[metric]} over the number of trained parameters. {_numbers(data, data.summary, 'mean', only=metric)}",
    )


def _ablation(data: Data) -> Words:
    return Words(
        "Accuracy of each setting",
        f"Accuracy of each variant, on average and on each dataset{_spread(data, 'whiskers')}.",
        f"Rows of points, one for each variant. {_numbers(data, data.summary, 'mean')}",
    )


def _training(data: Data, histories: pd.DataFrame) -> Words:
    labels = named(data.experiment["variants"])
    shown = training.shown_of(data, histories)
    last = shown[shown["progress"] == 1]
    ends = {labels[str(name)]: value for name, value in last.groupby("variant")["accuracy"].mean().items()}
    ordered = {label: ends[label] for label in labels.values() if label in ends}
    shots = shots_in_words(int(shown["shots"].max()))
    return Words(
        "Training curves",
        f"Training loss and accuracy on the training images over the epochs, {shots}: mean over seeds; bands from the lowest to "
        "the highest seed. The axis is the share of the training, because methods differ in their number of epochs.",
        "Lines: loss and accuracy on the training images over the training. "
        f"Mean accuracy at its end, in per cent: {ranked(ordered, per_cent)}.",
    )


def _reliability(data: Data, kept: pd.DataFrame) -> Words:
    return Words(
        "Reliability: accuracy against confidence",
        "Bars: accuracy of the images in each of 15 bins of confidence, the probability of the predicted class; on the dotted "
        "line, both are equal. Outlined: fewer than 1 % of the images. Grey: share of the images. All datasets and seeds "
        "together; the number is the mean of their calibration errors (ECE).",
        "Bars, a panel for each method and group of classes: accuracy over confidence. Calibration error (ECE) in per cent. "
        f"{_of_groups(data, kept, 'reliability', confidence.mean_ece)}",
    )


def _risk_coverage(data: Data, kept: pd.DataFrame) -> Words:
    def half(curves: Sequence[Sequence[float]]) -> float:
        return float(np.mean([curve[len(curve) // 2 - 1] for curve in curves]))

    return Words(
        "Risk and coverage: error of the most confident answers",
        "Error of the images that a method is most sure of, over their share of all images: mean over datasets and seeds. The "
        "lower a line, the better the confidence tells right answers from wrong ones.",
        "Lines: error over coverage. Error of the half of the images that a method is most sure of, in per cent. "
        f"{_of_groups(data, kept, 'risk_coverage', half)}",
    )


def _of_groups(data: Data, kept: pd.DataFrame, column: str, value: Callable[[Sequence], float]) -> str:
    """A number of each series, for each group of classes; series with missing runs are left out."""
    parts = []
    for group in confidence.groups_of(kept):
        found = kept[kept["target_subset"] == group].groupby("series", observed=True)[column]
        values = {data.labels[str(name)]: value(list(rows)) for name, rows in found if rows.notna().all()}
        parts.append(f"{METRICS[group]}: {ranked(values, per_cent)}.")
    return " ".join(parts)


def _cost(data: Data, measured: pd.DataFrame) -> Words:
    labels = named(data.experiment["variants"])
    parts = []
    for stage, what in cost.STAGES.items():
        means = measured[measured["stage"] == stage].groupby("variant")["seconds"].mean()
        seconds = {label: means[name] for name, label in labels.items() if name in means.index}
        if seconds:
            parts.append(f"{what}, seconds: {ranked(seconds, lambda value: f'{value:,.3g}')}.")
    devices = sorted(set(measured["device"]))
    return Words(
        "Cost of a run",
        "Mean seconds of the training of one seed and of its evaluation on one target, and mean peak memory of these jobs; "
        f"without the image features, which all methods share. Measured on: {', '.join(devices)}.",
        f"Horizontal bars: seconds and memory of each method. {' '.join(parts)}",
    )


def _accuracy(data: Data, measured: pd.DataFrame) -> Words:
    points = cost.points_of(data, measured)
    target, metric = points.iloc[0][["target", "metric"]]
    where = f"{METRICS[metric]}, {data.titles[target]}"
    most = " Of several numbers of shots, the largest." if len(data.experiment["shots"]) > 1 else ""
    return Words(
        "Accuracy against cost",
        f"{where}, over seconds of training, number of learned parameters and memory{_spread(data, 'whiskers')}. A method "
        f"without such a cost is a horizontal line.{most}",
        f"Points: accuracy over each kind of cost. {where}, in per cent: "
        f"{ranked(dict(zip((data.labels[s] for s in points['series']), points['mean'], strict=True)), per_cent)}.",
    )


def _main_metric(data: Data) -> str:
    return "h" if "h" in data.metrics() else data.metrics()[0]


def _spread(data: Data, marks: str, of_what: str = "") -> str:
    """What the means are over, and what whiskers or bands show."""
    seeds = len(data.experiment["seeds"])
    if seeds == 1:
        return " with one seed, hence without spread"
    what = f" {of_what}" if of_what else ""
    return f": mean over {seeds} seeds; {marks}: ± one standard deviation{what} over seeds (ddof 1)"


def _numbers(
    data: Data, numbers: pd.DataFrame, column: str, show: Callable[[float], str] = per_cent, only: str | None = None
) -> str:
    """The numbers of the average (of the last dataset where there is none) for each group of classes."""
    target = AVERAGE if AVERAGE in data.titles else list(data.titles)[-1]
    parts = []
    for metric in [only] if only else data.metrics():
        rows = numbers[(numbers["target"] == target) & (numbers["metric"] == metric)].set_index("series")[column]
        rows = rows[~rows.index.duplicated()]
        values = {label: rows[name] for name, label in data.labels.items() if name in rows.index}
        if values:
            parts.append(f"{METRICS[metric]}: {ranked(values, show)}.")
    return f"{data.titles[target]}. {' '.join(parts)}"


def ranked(values: Mapping[str, float], show: Callable[[float], str]) -> str:
    """Each number with its name; of more than `MOST_NAMED`, the three highest and the two lowest."""
    there = {name: value for name, value in values.items() if pd.notna(value)}
    if not there:
        return "missing"
    if len(there) <= MOST_NAMED:
        return ", ".join(f"{name} {show(value)}" for name, value in there.items())
    order = sorted(there, key=lambda name: -there[name])
    highest, lowest = (", ".join(f"{name} {show(there[name])}" for name in part) for part in (order[:3], order[-2:]))
    return f"{len(there)} methods; highest {highest}; lowest {lowest}"
