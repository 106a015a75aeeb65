"""Draws the figures of an experiment from its files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from cocoop.errors import unknown
from cocoop.reporting.figures import (
    NAMES,
    OF_MEASURES,
    ablation,
    changes,
    confidence,
    cost,
    curves,
    names,
    parameters,
    style,
    training,
)
from cocoop.reporting.figures.data import gather
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import records
from cocoop.reporting.records.cost import read


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
    rows = records.load(records_csv)
    data = gather(experiment, rows, records.load_notes(records_csv))
    measured, shown = read(cost_paths), names(experiment)
    kept = confidence.read(experiment, rows, metrics_paths) if set(shown) & set(OF_MEASURES) else None
    draw: Mapping[str, Callable[[], Figure]] = {
        "change_vs_clip": lambda: changes.draw(data, "clip"),
        "change_vs_coop": lambda: changes.draw(data, "coop"),
        "few_shot_curves": lambda: curves.draw(data),
        "h_against_parameters": lambda: parameters.draw(data),
        "ablation": lambda: ablation.draw(data),
        "training_curves": lambda: training.draw(data, training.read(history_paths)),
        "reliability": lambda: confidence.reliability(data, kept),
        "risk_coverage": lambda: confidence.risk_coverage(data, kept),
        "cost": lambda: cost.draw(data, measured),
        "accuracy_against_cost": lambda: cost.draw_accuracy(data, measured),
    }
    paths: list[Path] = []
    with style.theme():
        for name in shown:
            about = {"cost": (), "reliability": (confidence.RELIABILITY, *data.notes)}.get(name, data.notes)
            paths += style.save(draw[name](), Path(out_dir) / name, about)
    return paths
