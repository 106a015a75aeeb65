"""The paper's tables from records: CSV, Markdown, LaTeX and text. Light to import: Snakemake asks it for file names."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

    from cocoop.reporting.tables.model import Table

KINDS = ("base_to_new", "transfer", "domain", "parameter_matched", "incremental", "ablation", "curves")
NAMES = ("table", "against_paper", "spread")
SUFFIXES = (".csv", "_wide.csv", ".md", ".tex", ".txt")


def outputs(table_kind: str) -> list[str]:
    """File names that `build_all` writes for an experiment of this kind."""
    return [name + suffix for name in NAMES for suffix in SUFFIXES]


def build(experiment: Mapping[str, Any], records: "pandas.DataFrame", paper: Mapping[str, Any] | None) -> "list[Table]":
    """The tables `NAMES` of an experiment (see `cocoop.reporting.tables.building`)."""
    from cocoop.reporting.tables import building

    return building.build(experiment, records, paper)


def build_all(experiment_json: Path, records_csv: Path, out_dir: Path) -> "list[Table]":
    """Builds an experiment's tables with the paper's numbers beside ours and writes them as `outputs` says."""
    from cocoop.reporting.records import experiment, records
    from cocoop.reporting.tables import building, paper, rendering

    tables = building.build(experiment.load(experiment_json), records.load(records_csv), paper.load())
    for table in tables:
        rendering.write(table, Path(out_dir))
    return tables


def write(table: "Table", folder: Path) -> None:
    """Writes one table in all forms."""
    from cocoop.reporting.tables import rendering

    rendering.write(table, folder)


def to_terminal(table: "Table") -> str:
    """A table as aligned text."""
    from cocoop.reporting.tables import rendering

    return rendering.to_terminal(table)


def print_table(table: "Table | Path | str") -> None:
    """Prints a table, or the text form beside any of a written table's files."""
    from cocoop.reporting.tables import rendering

    print(rendering.text_of(table))
