"""The paper's figures as SVG and PNG. Light to import: Snakemake asks it for file names."""

from collections.abc import Sequence
from pathlib import Path

CHANGES = ("change_vs_clip", "change_vs_coop")
ALWAYS = ("training_curves", "cost")
NAMES = {
    "base_to_new": (*CHANGES, *ALWAYS),
    "transfer": (*CHANGES, *ALWAYS),
    "domain": (*CHANGES, *ALWAYS),
    "incremental": (*CHANGES, *ALWAYS),
    "parameter_matched": ("h_against_parameters", "change_vs_coop", *ALWAYS),
    "ablation": ("ablation", *ALWAYS),
    "curves": ("few_shot_curves", *ALWAYS),
}
SUFFIXES = (".svg", ".png")


def outputs(table_kind: str) -> list[str]:
    """File names that `build_all` writes for an experiment of this kind."""
    return [name + suffix for name in NAMES[table_kind] for suffix in SUFFIXES]


def build_all(
    experiment_json: Path, records_csv: Path, cost_paths: Sequence[Path], history_paths: Sequence[Path], out_dir: Path
) -> list[Path]:
    """Draws an experiment's figures as `outputs` says (see `cocoop.reporting.figures.drawing`) and returns their paths."""
    from cocoop.reporting.figures import drawing

    return drawing.build_all(experiment_json, records_csv, cost_paths, history_paths, out_dir)
