"""The figures of an experiment as SVG, PDF and PNG. Importing it does not import matplotlib; the report only needs the names."""

from collections.abc import Sequence
from pathlib import Path

CHANGES = ("change_vs_clip", "change_vs_coop")
ALWAYS = ("training_curves", "cost", "accuracy_against_cost")
WORDS = "figures.json"  # title, caption and alternative text of each figure that was drawn
NAMES = {
    "base_to_new": (*CHANGES, *ALWAYS),
    "transfer": (*CHANGES, *ALWAYS),
    "domain": (*CHANGES, *ALWAYS),
    "incremental": (*CHANGES, *ALWAYS),
    "parameter_matched": ("h_against_parameters", "change_vs_coop", *ALWAYS),
    "ablation": ("ablation", *ALWAYS),
    "curves": ("few_shot_curves", *ALWAYS),
}


def build_all(
    experiment_json: Path, records_csv: Path, cost_paths: Sequence[Path], history_paths: Sequence[Path], out_dir: Path
) -> list[Path]:
    """Draws the figures `NAMES` of an experiment's kind and returns their paths (see `cocoop.reporting.figures.drawing`)."""
    from cocoop.reporting.figures import drawing

    return drawing.build_all(experiment_json, records_csv, cost_paths, history_paths, out_dir)
