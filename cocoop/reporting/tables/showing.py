"""A configuration's results on the terminal: the table of each of its experiments, and where everything is."""

from pathlib import Path

from cocoop.errors import UserError, listed
from cocoop.planning import Plan, experiment_file
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import notes, records

STALE = "STALE: this table was not made with the configuration as it is now; run the configuration to make it anew."
MOST_NOTES = 6


def show(plan: Plan, results: Path) -> None:
    """Prints the main table of each experiment of a configuration, and one line for each thing that is not there.

    A table that was made with other settings is marked; tables of other experiments are
    named only. Raises a UserError if no experiment of the configuration has a table.
    """
    folder = results / "experiments"
    made = {path.parent.parent.name for path in folder.glob("*/tables/table.txt")}
    ours = [name for name in plan.experiments if name in made]
    others, lacking = sorted(made - set(ours)), [name for name in plan.experiments if name not in made]
    if not ours:
        elsewhere = (
            f" There are tables of {listed(others)}: name their configuration with --configfile." if others else ""
        )
        raise UserError(
            f"{results}: no tables yet of {plan.where} ({listed(lacking)}); make them with `make demo` or "
            f"`snakemake --cores all`.{elsewhere}"
        )
    old = {name for name in ours if stale(plan, name, folder / name)}
    print(f"{plan.where}: {listed([name + ' (stale)' * (name in old) for name in ours], 40)}\n")
    for name in ours:
        if name in old:
            print(f"{STALE}\n")
        print(records.read_text(folder / name / "tables" / "table.txt", "table"))
    if lacking:
        print(f"Not made yet: {listed(lacking, 40)}")
    if others:
        print(f"Not of this configuration, so not shown: {listed(others, 40)} (another --configfile shows them)")
    for what, where in (
        ("tables", "experiments/*/tables/*.{csv,md,tex}"),
        ("figures", "experiments/*/figures/*.{svg,png}"),
        ("all records", "experiments/*/records.csv"),
        ("report", "report.html (opens offline in any browser)"),
    ):
        print(f"{what:12} {results}/{where}")


def stale(plan: Plan, name: str, folder: Path) -> bool:
    """Whether an experiment's table was made with other settings, or before those of the configuration were written down."""
    content, table = folder / experiment_file(plan, name), folder / "tables" / "table.txt"
    return not content.exists() or table.stat().st_mtime < content.stat().st_mtime


def show_notes(plan: Plan, results: Path) -> None:
    """Prints the first notes on a finished configuration's results, each once, and where all are; nothing without notes.

    It is the last word of a run, so files that cannot be read are passed over: the jobs that need them say what is wrong.
    """
    found = list(dict.fromkeys(note for name in plan.experiments for note in _notes(plan, name, results)))
    if not found:
        return
    print("Notes on these results:")
    for note in found[:MOST_NOTES]:
        print(f"  - {note}")
    if len(found) > MOST_NOTES:
        print(f"  and {len(found) - MOST_NOTES} more, under the tables: python -m cocoop show")


def _notes(plan: Plan, name: str, results: Path) -> tuple[str, ...]:
    folder = results / "experiments" / name
    try:
        experiment = experiments.load(folder / experiment_file(plan, name))
        path = folder / "records.csv"
        return notes.of(experiment, experiments.select(experiment, records.load(path)), records.load_notes(path))
    except UserError:
        return ()
