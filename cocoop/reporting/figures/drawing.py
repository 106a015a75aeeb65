"""Draws the figures of an experiment from its files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from cocoop.errors import unknown
from cocoop.reporting import figures as files_of
from cocoop.reporting.figures import (
    NAMES,
    OF_MEASURES,
    ablation,
    changes,
    confidence,
    cost,
    curves,
    encoder,
    files,
    names,
    parameters,
    style,
    training,
)
from cocoop.reporting.figures.data import Data, gather
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import records
from cocoop.reporting.records.cost import of_backbone, read


def build_all(
    experiment_json: Path,
    records_csv: Path,
    cost_paths: Sequence[Path],
    history_paths: Sequence[Path],
    out_dir: Path,
    metrics_paths: Sequence[Path] = (),
) -> list[Path]:
    """Draws the figures of an experiment as SVG and PNG; the same inputs give the same bytes.

    cost_paths: cost.json of trainings and evaluations; history_paths: history.csv of trainings. The run that they belong to
    is read from the learned tensors or metrics in the same folder. metrics_paths: metrics.json of evaluations, for the
    figures of measures.
    """
    experiment = experiments.load(experiment_json)
    if experiment["table"] not in NAMES:
        raise unknown("kind of table", experiment["table"], NAMES, f"{experiment_json}: table")
    numbers, said = records.load(records_csv), records.load_notes(records_csv)
    measured, histories = read(cost_paths), training.read(history_paths)
    of_measures = set(names(experiment)) & set(OF_MEASURES)
    parts = {
        one["backbone"]["name"]: Part(
            gather(one, numbers, said),
            of_backbone(measured, one),
            of_backbone(histories, one),
            confidence.read(one, numbers, metrics_paths) if of_measures else None,
        )
        for one in experiments.of_each(experiment)
    }
    paths: list[Path] = []
    with style.theme():
        for name, figure in files(experiment).items():
            paths += _save(figure, parts, Path(out_dir) / name)
    return paths


class Part(NamedTuple):
    """What the figures of one backbone are drawn from: its numbers, costs (`cost.read`), histories (`training.read`) and, if a
    measure needs it, what is kept of the probabilities (`confidence.read`).
    """

    data: Data
    measured: pd.DataFrame
    histories: pd.DataFrame
    kept: pd.DataFrame | None


def _save(figure: files_of.Figure, parts: Mapping[str, Part], path: Path) -> list[Path]:
    if figure.backbone is None:
        costs = {name: part.measured for name, part in parts.items()}
        drawn = encoder.draw({name: part.data for name, part in parts.items()}, costs)
        return style.save(
            drawn, path, tuple(dict.fromkeys(note for part in parts.values() for note in part.data.notes))
        )
    part = parts[figure.backbone["name"]]
    notes = {"cost": (), "reliability": (confidence.RELIABILITY, *part.data.notes)}.get(figure.kind, part.data.notes)
    if len(parts) > 1:
        notes = (f"Backbone: {figure.backbone['label']}.", *notes)
    return style.save(_draw(figure.kind, part), path, notes)


def _draw(kind: str, part: Part) -> Figure:
    data, measured = part.data, part.measured
    draw: Mapping[str, Callable[[], Figure]] = {
        "change_vs_clip": lambda: changes.draw(data, "clip"),
        "change_vs_coop": lambda: changes.draw(data, "coop"),
        "few_shot_curves": lambda: curves.draw(data),
        "h_against_parameters": lambda: parameters.draw(data),
        "ablation": lambda: ablation.draw(data),
        "training_curves": lambda: training.draw(data, part.histories),
        "reliability": lambda: confidence.reliability(data, part.kept),
        "risk_coverage": lambda: confidence.risk_coverage(data, part.kept),
        "cost": lambda: cost.draw(data, measured),
        "accuracy_against_cost": lambda: cost.draw_accuracy(data, measured),
    }
    return draw[kind]()
