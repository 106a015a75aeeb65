"""From metrics files to numbers: tidy records, statistics over seeds, paired comparison."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas


def collect(metrics: Sequence[Path], out: Path) -> None:
    """Writes all records of many metrics.json files as one tidy CSV (see `cocoop.reporting.records.records`)."""
    from cocoop.reporting.records import records

    records.collect(metrics, out)


def load(path: Path) -> "pandas.DataFrame":
    """Reads what `collect` wrote."""
    from cocoop.reporting.records import records

    return records.load(path)
