"""The figures of an experiment as SVG, PDF and PNG. Importing it does not import matplotlib; the report only needs the names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cocoop.reporting.records.experiment import of_each

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
OF_MEASURES = {"reliability": ("ece", "ece_10", "adaptive_ece", "mce"), "risk_coverage": ("aurc",)}


def names(experiment: Mapping[str, Any]) -> tuple[str, ...]:
    """The figures of an experiment: those of its kind, and those of its measures."""
    asked = set(experiment.get("measures", ()))
    return (*NAMES[experiment["table"]], *(name for name, needed in OF_MEASURES.items() if asked & set(needed)))


ACROSS = "accuracy_against_encoder"  # of experiments with several backbones


class Figure(NamedTuple):
    """A figure of an experiment: its kind, and the backbone whose numbers it shows ({name, label}); None for all of several."""

    kind: str
    backbone: Mapping[str, str] | None


def files(experiment: Mapping[str, Any]) -> dict[str, Figure]:
    """The figures of an experiment by file name without suffix; with several backbones, each kind of figure once for each."""
    kinds, each = names(experiment), of_each(experiment)
    if len(each) == 1:
        return {kind: Figure(kind, each[0]["backbone"]) for kind in kinds}
    of_backbones = [one["backbone"] for one in each]
    return {ACROSS: Figure(ACROSS, None)} | {
        f"{kind}_{backbone['name']}": Figure(kind, backbone) for kind in kinds for backbone in of_backbones
    }


def build_all(
    experiment_json: Path,
    records_csv: Path,
    cost_paths: Sequence[Path],
    history_paths: Sequence[Path],
    out_dir: Path,
    metrics_paths: Sequence[Path] = (),
) -> list[Path]:
    """Draws the figures `files` of an experiment and returns their paths (see `cocoop.reporting.figures.drawing`)."""
    from cocoop.reporting.figures import drawing

    return drawing.build_all(experiment_json, records_csv, cost_paths, history_paths, out_dir, metrics_paths)
