"""An experiment's tables from its records: the numbers, the paper's numbers beside them, and their spread."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cocoop.errors import unknown
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import records, statistics
from cocoop.reporting.tables import against, captions, footnotes, numbers, paper, rendering
from cocoop.reporting.tables.grids import grid
from cocoop.reporting.tables.rendering import Table

KINDS = ("base_to_new", "transfer", "domain", "parameter_matched", "incremental", "ablation", "curves")
NAMES = ("table", "against_paper", "spread")


def build(
    experiment: Mapping[str, Any],
    frame: pd.DataFrame,
    papers: Mapping[str, paper.PaperTable] | None,
    said: Sequence[str] = (),
) -> list[Table]:
    """The tables `NAMES` of an experiment, each with its caption and footnotes.

    frame: records of `records.load`; papers: of `paper.load`; said: of `records.load_notes`. Runs that are missing leave
    a gap, blank every mean over them, and are named.
    """
    if experiment["table"] not in KINDS:
        raise unknown("kind of table", experiment["table"], KINDS, f"experiment {experiment['name']!r}: table")
    selected = experiments.select(experiment, frame)
    printed = paper.choose(papers, experiment)
    per_seed = statistics.per_seed(experiment, selected)
    summary = against.with_paper(statistics.summarize(experiment, selected, per_seed), printed)
    layout = grid(experiment, summary)
    caption = captions.caption(experiment, selected)
    common = footnotes.common(experiment, selected, said)
    return [
        numbers.table(experiment, summary, per_seed, layout, caption, common),
        against.table(experiment, summary, layout, printed, caption, common),
        numbers.spread(experiment, summary, layout, caption, common),
    ]


def build_all(experiment_json: Path, records_csv: Path, out_dir: Path) -> list[Table]:
    """Builds an experiment's tables and writes each in all forms (`rendering.write`)."""
    experiment, frame = experiments.load(experiment_json), records.load(records_csv)
    tables = build(experiment, frame, paper.load(), records.load_notes(records_csv))
    for table in tables:
        rendering.write(table, Path(out_dir))
    return tables
