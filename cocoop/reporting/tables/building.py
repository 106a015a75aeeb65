"""An experiment and its records become tables: the numbers, the paper's beside them, and their spread."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cocoop.errors import unknown
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records.statistics import summarize
from cocoop.reporting.tables import KINDS, against, numbers, paper
from cocoop.reporting.tables.grids import grid
from cocoop.reporting.tables.model import Table


def build(
    experiment: Mapping[str, Any], records: pd.DataFrame, papers: Mapping[str, paper.PaperTable] | None
) -> list[Table]:
    """`table` (the numbers as the paper arranges them), `against_paper` (its numbers, the difference) and `spread`.

    papers: of `cocoop.reporting.tables.paper.load`. Runs that are missing leave a gap, blank every mean over them, and are named.
    """
    if experiment["table"] not in KINDS:
        raise unknown("kind of table", experiment["table"], KINDS, f"experiment {experiment['name']!r}: table")
    selected = experiments.select(experiment, records)
    summary = against.with_paper(summarize(experiment, selected), paper.choose(papers, experiment))
    layout = grid(experiment, summary)
    gaps = experiments.missing(selected)
    return [
        numbers.table(experiment, summary, layout, gaps),
        against.table(experiment, summary, layout, paper.choose(papers, experiment), gaps),
        numbers.spread(experiment, summary, layout),
    ]
