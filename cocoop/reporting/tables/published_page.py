"""docs/published.md: all published numbers of config/paper on one page."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Any

import pandas as pd

from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import records, statistics
from cocoop.reporting.tables import paper, published, rendering

WIDTH = 118
HEAD = """# Published numbers

<!-- Written by `python -m cocoop published --out docs/published.md` from config/paper and config/publications.yaml. -->

What papers, repositories and logs print for CoOp, CoCoOp and the methods that followed them, by year. Read it with
care:

- Most later papers copy the numbers of earlier methods instead of running them again. `Run by` says who computed a row:
  the method's authors, others, or not stated; its footnote says where it was read and what is odd about it.
- Almost no source prints a spread over seeds, so it is unknown which differences are larger than that of the seeds.
- Methods that also learn from unlabelled images of the classes tested (transductive), and those of which we do not know
  it, have tables of their own. What a method uses beyond labelled images, class names and prompts is in its footnote.
- H in an average row is the harmonic mean of the averaged base and new accuracy, unless its footnote says otherwise.

`python -m cocoop published --results results` prints this page with the numbers of your own experiments in it, where
dataset, backbone, shots and classes are the same; the report has them, too. [config/paper](../config/paper/README.md)
contains the data; corrections with a source are welcome.
"""


def markdown(results: Path | None = None) -> str:
    """The page. results: a results folder whose experiments join."""
    built = published.tables(paper.load().values(), own(results) if results else ())
    parts = [HEAD, *(_wrapped(rendering.to_markdown(table).replace("### ", "## ", 1)) for table in built)]
    return "\n".join(parts)


def own(results: Path) -> Sequence[tuple[Mapping[str, Any], pd.DataFrame]]:
    """The experiments of a results folder that have records, with their summaries."""
    found = []
    for path in sorted(Path(results).glob("experiments/*/experiment-*.json")):
        csv = path.with_name("records.csv")
        if csv.exists():
            experiment = experiments.load(path)
            selected = experiments.select(experiment, records.load(csv))
            found.append((experiment, statistics.summarize(experiment, selected)))
    return found


def _wrapped(text: str) -> str:
    """The lines of a page; lines of a table stay as they are."""
    lines = text.split("\n")
    wrap = partial(fill, width=WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(line if line.startswith(("|", "#")) else wrap(line) for line in lines)
