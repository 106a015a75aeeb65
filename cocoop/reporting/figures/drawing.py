"""Draws the figures of an experiment from its files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from cocoop import io
from cocoop.errors import unknown
from cocoop.reporting.figures import NAMES, WORDS, ablation, changes, cost, curves, parameters, style, training, words
from cocoop.reporting.figures.data import gather
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import records
from cocoop.reporting.records.cost import read


def build_all(
    experiment_json: Path, records_csv: Path, cost_paths: Sequence[Path], history_paths: Sequence[Path], out_dir: Path
) -> list[Path]:
    """Draws the figures of an experiment's kind as SVG, PDF and PNG, and writes `WORDS`; the same inputs give the same bytes.

    A figure without anything to show, such as a comparison with a method that is not there, is left out.
    cost_paths: cost.json of trainings and evaluations; history_paths: history.csv of trainings. The run that they belong to
    is read from the learned tensors or metrics in the same folder.
    """
    experiment = experiments.load(experiment_json)
    if experiment["table"] not in NAMES:
        raise unknown("kind of table", experiment["table"], NAMES, f"{experiment_json}: table")
    data = gather(experiment, records.load(records_csv), records.load_notes(records_csv))
    measured, histories = read(cost_paths), training.read(history_paths)
    draw: Mapping[str, Callable[[], Figure | None]] = {
        "change_vs_clip": lambda: changes.draw(data, "clip"),
        "change_vs_coop": lambda: changes.draw(data, "coop"),
        "few_shot_curves": lambda: curves.draw(data),
        "h_against_parameters": lambda: parameters.draw(data),
        "ablation": lambda: ablation.draw(data),
        "training_curves": lambda: training.draw(data, histories),
        "cost": lambda: cost.draw(data, measured),
        "accuracy_against_cost": lambda: cost.draw_accuracy(data, measured),
    }
    paths: list[Path] = []
    described = {}
    with style.theme():
        for name in NAMES[experiment["table"]]:
            if figure := draw[name]():
                paths += style.save(figure, Path(out_dir) / name, () if name == "cost" else data.notes)
                described[name] = words.of(name, data, measured, histories)._asdict()
    io.write_json(Path(out_dir) / WORDS, {"schema": 1, "kind": "figures", "figures": described})
    return paths
