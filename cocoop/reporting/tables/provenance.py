"""Where published numbers come from, who computed them, and what makes them hard to compare with ours."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from cocoop.errors import listed
from cocoop.reporting.records.experiment import named
from cocoop.reporting.tables.beside import PUBLISHED
from cocoop.reporting.tables.paper import PaperTable

DAGGER, SELECTED, COMPUTED = "†", "§", "¶"
RUN_BY = {"authors": "authors", "others": "others", "unknown": "not stated"}
IN_WORDS = {"authors": "run by its authors", "others": "run by others", "unknown": "who ran it is not stated"}

SECOND_HAND = "neither printed by two independent sources nor read from the paper, code or log of those who ran it"


def labels(paper: PaperTable | None, shown: Sequence[str]) -> dict[str, str]:
    """The label of each row that is shown: who ran it, and the number of its footnote. Empty if the file describes no rows."""
    if paper is None or not paper.described:
        return {}
    names = [name for name in paper.rows if name in set(shown)]
    return {name: f"{RUN_BY[str(paper.rows[name].run_by)]} [{number}]" for number, name in enumerate(names, 1)}


def described(there: pd.DataFrame, paper: PaperTable | None, columns: Sequence[str]) -> pd.DataFrame:
    """These columns of the joined numbers; where the file describes its rows, also run_by, published_in and selected_on_test."""
    tidy = there[list(columns)]
    if paper is None or not paper.described:
        return tidy
    rows = [paper.rows[name] for name in there[PUBLISHED]]
    about = {"run_by": [row.run_by for row in rows], "published_in": [row.source for row in rows]}
    return tidy.assign(**about, selected_on_test=[row.selected for row in rows])


def footnotes(
    experiment: Mapping[str, Any], there: pd.DataFrame, paper: PaperTable, shown: Mapping[str, str]
) -> Iterator[str]:
    """The source of each row that is shown, and the meaning of the marks that occur."""
    titles = named(experiment["variants"])
    for number, name in enumerate(shown, 1):
        row = paper.rows[name]
        yield f"[{number}] {titles[str(row.variant)]}, {IN_WORDS[str(row.run_by)]}: {row.source}."
    if not there["paper_verified"].all():
        single = SECOND_HAND if shown else f"not confirmed by two independent sources ({'; '.join(paper.sources)})"
        yield f"{DAGGER} {single}."
    selected = list(dict.fromkeys(there.loc[there["paper_selected"].fillna(False), PUBLISHED]))
    if selected:
        numbers = {name: number for number, name in enumerate(shown, 1)}
        what = "; ".join(f"[{numbers[name]}] {paper.rows[name].selected}" for name in selected)
        yield f"{SELECTED} selected by accuracy on the test set, which our runs never do: {what}."
    if there["paper_computed"].fillna(False).any():
        yield f"{COMPUTED} not printed: computed here from the printed numbers of its datasets."
    yield from other_backbones(experiment, paper)


def other_backbones(experiment: Mapping[str, Any], paper: PaperTable | None) -> Iterator[str]:
    """How many published rows of the experiment's methods are left out because they were measured with another backbone."""
    ours, variants = experiment["backbone"]["name"], named(experiment["variants"])
    rows = paper.rows.values() if paper else ()
    other = [row.backbone for row in rows if row.variant in variants and row.backbone not in (None, ours)]
    if other:
        yield f"Not shown: {len(other)} published rows of other backbones ({listed(sorted(set(map(str, other))))})."
