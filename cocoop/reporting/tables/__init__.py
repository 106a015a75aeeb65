"""An experiment's tables: its numbers, published numbers next to them, their spread over seeds, and what each method costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cocoop.errors import unknown
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import records, statistics
from cocoop.reporting.records.cost import per_variant, read
from cocoop.reporting.tables import (
    against,
    beside,
    captions,
    cost,
    distance,
    expected,
    footnotes,
    measures,
    numbers,
    paper,
    rendering,
    stacking,
)
from cocoop.reporting.tables.grids import grid
from cocoop.reporting.tables.rendering import Table

KINDS = ("base_to_new", "transfer", "domain", "parameter_matched", "incremental", "ablation", "curves")
NAMES = ("table", "against_paper", "spread")
COST = "cost"


def build(
    experiment: Mapping[str, Any],
    frame: pd.DataFrame,
    papers: Mapping[str, paper.PaperTable] | None,
    said: Sequence[str] = (),
    measured: pd.DataFrame | None = None,
) -> list[Table]:
    """The tables `NAMES` of an experiment, those of its measures, and `COST` if `measured` is given.

    Each has its caption and footnotes.

    Missing runs leave a gap and are named; a mean over them is blank. Several backbones share each table, in blocks; only
    `against_paper` becomes one table for each (`stacking`).

    Args:
        experiment: content of experiment.json.
        frame: result of `records.load`.
        papers: result of `paper.load`.
        said: result of `records.load_notes`.
        measured: result of `cost.per_variant` of the experiment's jobs.
    """
    if experiment["table"] not in KINDS:
        raise unknown("kind of table", experiment["table"], KINDS, f"experiment {experiment['name']!r}: table")
    printed, each = paper.choose(papers, experiment), experiments.of_each(experiment)
    caption = captions.caption(experiment, pd.concat([experiments.select(one, frame) for one in each]))
    parts = {
        (one["backbone"]["name"], one["backbone"]["label"]): _build(
            one, frame, papers, printed, said, measured, caption
        )
        for one in each
    }
    return next(iter(parts.values())) if len(parts) == 1 else stacking.stacked(parts)


def _build(
    experiment: Mapping[str, Any],
    frame: pd.DataFrame,
    papers: Mapping[str, paper.PaperTable] | None,
    printed: paper.PaperTable | None,
    said: Sequence[str],
    measured: pd.DataFrame | None,
    caption: str,
) -> list[Table]:
    """The tables of one backbone."""
    selected = experiments.select(experiment, frame)
    per_seed = statistics.per_seed(experiment, selected)
    summary = distance.with_distance(experiment, statistics.summarize(experiment, selected, per_seed))
    joined = beside.join(experiment, summary, printed)
    summary = beside.first(joined)
    layout = grid(experiment, summary)
    common = footnotes.common(experiment, selected, said)
    found = [
        numbers.table(experiment, summary, per_seed, layout, caption, (*expected.notes(experiment, summary), *common)),
        against.table(experiment, joined, layout, printed, caption, common),
        numbers.spread(experiment, summary, layout, caption, common),
        *measures.tables(experiment, selected, papers, caption, common),
    ]
    return found if measured is None else [*found, cost.table(experiment, summary, measured, caption)]


def build_all(experiment_json: Path, records_csv: Path, out_dir: Path, costs: Sequence[Path] = ()) -> list[Table]:
    """Builds an experiment's tables and writes each in all forms (`rendering.write`).

    costs: cost.json of its trainings and evaluations; without them there is no table of costs.
    """
    experiment, frame = experiments.load(experiment_json), records.load(records_csv)
    measured = per_variant(read(costs)) if costs else None
    tables = build(experiment, frame, paper.load(), records.load_notes(records_csv), measured)
    for table in tables:
        rendering.write(table, Path(out_dir))
    return tables
