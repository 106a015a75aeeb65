"""Prints a configuration's results: the table of each experiment, and the paths of all results."""

from pathlib import Path

from cocoop.errors import UserError, listed
from cocoop.planning import Plan, experiment_file
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import notes, records
from cocoop.reporting.tables import measures

STALE = "STALE: this table was made with other settings than the current ones; run the configuration to update it."
MOST_NOTES = 6


def show(plan: Plan, results: Path) -> None:
    """Prints the main table of each experiment of a configuration, those of its measures, and what is missing.

    Tables made with other settings are marked as stale; tables of other experiments are only named. Raises a UserError if no
    experiment of the configuration has a table.
    """
    folder = results / "experiments"
    made = {path.parent.parent.name for path in folder.glob("*/tables/table.txt")}
    ours = [name for name in plan.experiments if name in made]
    others, lacking = sorted(made - set(ours)), [name for name in plan.experiments if name not in made]
    if not ours:
        elsewhere = (
            f" There are tables of {listed(others)}; name their configuration with --configfile." if others else ""
        )
        raise UserError(
            f"{results}: {plan.where} has no tables yet ({listed(lacking)}); make them with `make demo` or "
            f"`snakemake --cores all`.{elsewhere}"
        )
    old = {name for name in ours if stale(plan, name, folder / name)}
    print(f"{plan.where}: {listed([name + ' (stale)' * (name in old) for name in ours], 40)}\n")
    for name in ours:
        if name in old:
            print(f"{STALE}\n")
        for table in ("table", *measures.names(plan.experiments[name].measures)):
            path = folder / name / "tables" / f"{table}.txt"
            if table == "table" or path.exists():
                print(records.read_text(path, "table"))
    if lacking:
        print(f"No table yet: {listed(lacking, 40)}")
    if others:
        print(
            f"Not shown, because they belong to another configuration: {listed(others, 40)} (name it with --configfile)"
        )
    for what, where in (
        ("tables", "experiments/*/tables/*.{csv,md,tex}"),
        ("figures", "experiments/*/figures/*.{svg,png}"),
        ("all records", "experiments/*/records.csv"),
        ("report", "report.html (opens offline in any browser)"),
    ):
        print(f"{what:12} {results}/{where}")


def stale(plan: Plan, name: str, folder: Path) -> bool:
    """Whether an experiment's table was made with other settings, or before the current ones were recorded."""
    content, table = folder / experiment_file(plan, name), folder / "tables" / "table.txt"
    return not content.exists() or table.stat().st_mtime < content.stat().st_mtime


def show_notes(plan: Plan, results: Path) -> None:
    """Prints the first notes on a finished configuration's results, each once, and how to see the others.

    Unreadable files are skipped here, at the end of a run, because the jobs that need them report what is wrong.
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
        frame, said = records.load(path), records.load_notes(path)
        each = [notes.of(one, experiments.select(one, frame), said) for one in experiments.of_each(experiment)]
        return tuple(dict.fromkeys(note for found in each for note in found))
    except UserError:
        return ()
