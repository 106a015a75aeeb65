"""A results folder on the terminal: every experiment's table, and where everything lies."""

from pathlib import Path

from cocoop.errors import UserError
from cocoop.reporting.tables import print_table

FIRST = ("base_to_new", "parameter_matched")


def show(results: Path) -> None:
    """Prints the main table of each experiment of `results`; a UserError if there is none yet."""
    folders = {path.parent.parent.name: path.parent.parent for path in results.glob("experiments/*/tables/table.txt")}
    if not folders:
        raise UserError(f"{results}: no tables yet; make them with `make demo` or `snakemake --cores all`.")
    for name in sorted(folders, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name)):
        print_table(folders[name] / "tables" / "table.txt")
        print()
    for what, where in (
        ("tables", "experiments/*/tables/*.{csv,md,tex}"),
        ("figures", "experiments/*/figures/*.{svg,png}"),
        ("all records", "experiments/*/records.csv"),
        ("report", "report.html (opens offline in any browser)"),
    ):
        print(f"{what:12} {results}/{where}")
