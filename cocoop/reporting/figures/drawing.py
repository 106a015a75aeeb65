"""Draws the figures of an experiment from its files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from cocoop import io
from cocoop.errors import unknown
from cocoop.reporting import figures as files_of
from cocoop.reporting.figures import (
    NAMES,
    OF_MEASURES,
    WORDS,
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
    words,
)
from cocoop.reporting.figures.data import Part, gather
from cocoop.reporting.figures.words import Words
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
    """Draws the figures of an experiment as SVG, PDF and PNG, and writes `WORDS`; the same inputs give the same bytes.

    A figure without anything to show, such as a comparison with a method that is not there, is left out.
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
            confidence.read(one, numbers, metrics_paths) if of_measures else pd.DataFrame(),
        )
        for one in experiments.of_each(experiment)
    }
    paths: list[Path] = []
    described = {}
    with style.theme():
        for name, figure in files(experiment).items():
            if drawn := _draw(figure, parts):
                paths += style.save(drawn, Path(out_dir) / name, _notes(figure, parts))
                described[name] = _words(figure, parts)._asdict()
    io.write_json(Path(out_dir) / WORDS, {"schema": 1, "kind": "figures", "figures": described})
    return paths


def _notes(figure: files_of.Figure, parts: Mapping[str, Part]) -> tuple[str, ...]:
    """What stands below a figure: its backbone, if there are several, and what limits its numbers."""
    if figure.backbone is None:
        return tuple(dict.fromkeys(note for part in parts.values() for note in part.data.notes))
    notes = () if figure.kind == "cost" else parts[figure.backbone["name"]].data.notes
    return (f"Backbone: {figure.backbone['label']}.", *notes) if len(parts) > 1 else notes


def _words(figure: files_of.Figure, parts: Mapping[str, Part]) -> Words:
    if figure.backbone is None:
        return words.across(parts)
    found = words.of(figure.kind, parts[figure.backbone["name"]])
    return found._replace(title=f"{found.title} ({figure.backbone['label']})") if len(parts) > 1 else found


def _draw(figure: files_of.Figure, parts: Mapping[str, Part]) -> Figure | None:
    """The figure; None if it has nothing to show."""
    if figure.backbone is None:
        costs = {name: part.measured for name, part in parts.items()}
        return encoder.draw({name: part.data for name, part in parts.items()}, costs)
    data, measured, histories, kept = parts[figure.backbone["name"]]
    draw: Mapping[str, Callable[[], Figure | None]] = {
        "change_vs_clip": lambda: changes.draw(data, "clip"),
        "change_vs_coop": lambda: changes.draw(data, "coop"),
        "few_shot_curves": lambda: curves.draw(data),
        "h_against_parameters": lambda: parameters.draw(data),
        "ablation": lambda: ablation.draw(data),
        "training_curves": lambda: training.draw(data, histories),
        "reliability": lambda: confidence.reliability(data, kept),
        "risk_coverage": lambda: confidence.risk_coverage(data, kept),
        "cost": lambda: cost.draw(data, measured),
        "accuracy_against_cost": lambda: cost.draw_accuracy(data, measured),
    }
    return draw[figure.kind]()
