"""Our numbers joined with published ones: one row for each pair, with their difference."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cocoop.reporting.records.statistics import AVERAGE, without_single_classes
from cocoop.reporting.tables.paper import PaperTable, Printed

PUBLISHED = "published"
ADDED = ("paper", "paper_verified", "difference", "difference_in_std", "within_std")
MARKS = ("paper_selected", "paper_computed")
PLACE = "place"


def join(experiment: Mapping[str, Any], summary: pd.DataFrame, paper: PaperTable | None) -> pd.DataFrame:
    """A summary with one row for each of our numbers and each published row of its variant.

    A number without a published row, or of another draw than the authors', stays as one row. Adds `PLACE` (position of our
    number in the summary), `PUBLISHED` (name of the published row, empty if there is none), and `ADDED` and `MARKS`, which
    are missing where that row has no number. Accuracies and differences are fractions. within_std: the published number is
    at most one standard deviation over seeds (ddof 1) away from our mean.
    """
    targets = frozenset(without_single_classes(summary["target"], summary)) - {*summary["source"], AVERAGE}
    rows: list[tuple[Any, ...]] = []
    for place, number in enumerate(summary.to_dict("records")):
        rows_beside = rows_of(experiment, paper, number["variant"]) if of_the_authors_draw(experiment, number) else []
        for name in rows_beside or [""]:
            printed = _find(paper, name, number, targets)
            rows.append((place, name, *(printed[:4] if printed else (None, pd.NA, pd.NA, pd.NA))))
    columns = [PLACE, PUBLISHED, "paper", "paper_verified", *MARKS]
    types = {"paper": "float64", **dict.fromkeys(("paper_verified", *MARKS), "boolean")}
    found = pd.DataFrame(rows, columns=columns).astype(types)
    joined = summary.iloc[found[PLACE]].reset_index(drop=True).join(found)
    difference = joined["mean"] - joined["paper"]
    comparable = difference.notna() & (joined["std"] > 0)
    joined = joined.assign(
        difference=difference,
        difference_in_std=(difference / joined["std"]).where(comparable),
        within_std=(difference.abs() <= joined["std"]).astype("boolean").where(comparable),
    )
    return joined[[*summary.columns, *ADDED, PLACE, PUBLISHED, *MARKS]]


def of_the_authors_draw(experiment: Mapping[str, Any], number: Mapping[str, Any]) -> bool:
    """Whether a number of an experiment is of the authors' training images, labels and class halves."""
    return not number["draw"] and not experiment.get("drawn")


def first(joined: pd.DataFrame) -> pd.DataFrame:
    """The summary again: each of our numbers once, with its first published number."""
    ordered = joined.sort_values("paper", key=pd.isna, kind="stable").drop_duplicates(PLACE).sort_values(PLACE)
    return ordered.drop(columns=[PLACE, PUBLISHED, *MARKS]).reset_index(drop=True)


def rows_of(experiment: Mapping[str, Any], paper: PaperTable | None, variant: str) -> list[str]:
    """Names of the published rows of a variant, without those measured with another backbone."""
    ours = experiment["backbone"]["name"]
    rows = paper.rows if paper else {}
    return [name for name, row in rows.items() if row.variant == variant and row.backbone in (None, ours)]


def _find(paper: PaperTable | None, row: str, number: Mapping[str, Any], targets: frozenset[str]) -> Printed | None:
    if paper is None or (number["target"] == AVERAGE and targets != paper.average_over):
        return None
    return paper.find(number["target"], row, number["shots"], number["metric"])
