"""The tables of measures beside accuracy, averaged over datasets, and published numbers of such measures next to ours."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd

from cocoop.config.draw import shots_text
from cocoop.config.measures import JOINT
from cocoop.reporting.records.experiment import dataset_titles
from cocoop.reporting.records.measures import BOTH, summarize
from cocoop.reporting.records.statistics import AVERAGE
from cocoop.reporting.records.text import GAP, per_cent
from cocoop.reporting.tables import against, beside
from cocoop.reporting.tables.grids import grid, mean_text, targets_in_order
from cocoop.reporting.tables.paper import PaperTable
from cocoop.reporting.tables.rendering import Cell, Table

TITLES = {
    "accuracies": "other accuracies",
    "calibration": "calibration",
    "open_world": "base and new classes together",
}
WORDS = {"base": "base", "new": "new", "all": "all", BOTH: "both"}


class Shown(NamedTuple):
    """How a measure is shown: its title, its table, and whether in per cent."""

    title: str
    table: str
    per_cent: bool = True
    lower: bool = True


SHOWN = {
    "mean_class_accuracy": Shown("Mean class accuracy", "accuracies", lower=False),
    "macro_f1": Shown("Macro F1", "accuracies", lower=False),
    "top_5": Shown("Top-5", "accuracies", lower=False),
    "ece": Shown("ECE", "calibration"),
    "ece_10": Shown("ECE, 10 bins", "calibration"),
    "adaptive_ece": Shown("Adaptive ECE", "calibration"),
    "mce": Shown("MCE", "calibration"),
    "nll": Shown("NLL", "calibration", per_cent=False),
    "brier": Shown("Brier", "calibration", per_cent=False),
    "aurc": Shown("AURC", "calibration"),
    JOINT: Shown("Joint accuracy", "open_world", lower=False),
    "auroc": Shown("AUROC", "open_world", lower=False),
    "auroc_energy": Shown("AUROC, energy", "open_world", lower=False),
    "openworld_auc": Shown("OpenworldAUC", "open_world", lower=False),
}


def tables(
    experiment: Mapping[str, Any],
    selected: pd.DataFrame,
    papers: Mapping[str, PaperTable] | None,
    caption: str,
    common: Sequence[str],
) -> list[Table]:
    """One table for each of `TITLES` that has a measure asked for, and one for each published table of a measure.

    selected: result of `cocoop.reporting.records.experiment.select`; common: footnotes of every table of the experiment.
    """
    printed = [papers[name] for name in experiment.get("paper_measures", ())] if papers else []
    asked = [name for name in SHOWN if name in experiment.get("measures", ())]
    needed = [name for name in SHOWN if name in asked or name in {paper.measure for paper in printed}]
    if not needed:
        return []
    summary = summarize(experiment, selected, needed)
    found = []
    shown = summary[summary["measure"].isin(asked)]
    of_table = shown["measure"].map(lambda measure: SHOWN[measure].table)
    found = [_table(experiment, name, shown[of_table == name], caption, common) for name in names(asked)]
    return [*found, *(_published(experiment, summary, paper, caption, common) for paper in printed)]


def names(asked: Sequence[str]) -> list[str]:
    """Names of the tables of these measures, without those of published numbers."""
    there = {SHOWN[name].table for name in asked}
    return [name for name in TITLES if name in there]


def _table(
    experiment: Mapping[str, Any], name: str, summary: pd.DataFrame, caption: str, common: Sequence[str]
) -> Table:
    """A row per method, averaged over datasets (without an average: per dataset), and a column per measure and classes."""
    columns = list(summary[["measure", "metric"]].drop_duplicates().itertuples(index=False, name=None))
    several = {measure for measure, metric in columns if metric != BOTH}
    heads = [SHOWN[m].title + (f", {WORDS[metric]}" if m in several else "") for m, metric in columns]
    lines = list(_lines(experiment, summary))
    named = _named(experiment, summary)
    rows = [(*labels, *(_text(numbers.get(column)) for column in columns)) for labels, numbers in lines]
    means = [(*labels, *(numbers.get(column, {}).get("mean") for column in columns)) for labels, numbers in lines]
    return Table(
        name=name,
        title=f"{experiment['title']}: {TITLES[name]}",
        caption=caption,
        tidy=summary,
        wide=pd.DataFrame(means, columns=[*named, *heads]),
        header=(*named, *heads),
        rows=tuple(tuple(map(Cell, row)) for row in rows),
        labels=len(named),
        notes=(*_notes(name, summary), *common),
    )


def _named(experiment: Mapping[str, Any], summary: pd.DataFrame) -> tuple[str, ...]:
    """Headings of the labels of a row."""
    source = ("Source",) * (summary["source"].nunique() > 1)
    return (*source, "Dataset", "Method", *(("Shots",) * _several_shots(experiment)))


def _several_shots(experiment: Mapping[str, Any]) -> bool:
    return experiment["table"] == "curves"  # elsewhere a method's label has its shots


def _lines(
    experiment: Mapping[str, Any], summary: pd.DataFrame
) -> Iterator[tuple[tuple[str, ...], dict[tuple[str, str], dict[str, Any]]]]:
    """The labels of each row, and its numbers by measure and metric."""
    titles = dataset_titles(experiment)
    for source, of_source in summary.groupby("source", sort=False):
        first = (titles.get(source, source),) * (summary["source"].nunique() > 1)
        for target, title in targets_in_order(experiment, of_source, average_first=True).items():
            if target != AVERAGE and AVERAGE in set(of_source["target"]):
                continue
            title += " (source)" if target == source else ""
            of_target = of_source[of_source["target"] == target]
            for (_, shots), part in of_target.groupby(["series", "shots"], observed=True):
                labels = (*first, title, part["label"].iloc[0], *((shots_text(shots),) * _several_shots(experiment)))
                yield labels, {(row["measure"], row["metric"]): row for row in part.to_dict("records")}


def _text(number: Mapping[str, Any] | None) -> str:
    if number is None:
        return ""
    in_per_cent = SHOWN[number["measure"]].per_cent
    mean, std = ((per_cent if in_per_cent else _plain)(number[name]) for name in ("mean", "std"))
    if number["one_class"] or pd.isna(number["mean"]) or pd.isna(number["std"]):
        return mean_text(number) if number["one_class"] else mean
    return f"{mean} ± {std}"


def _plain(value: float) -> str:
    return GAP if pd.isna(value) else f"{value:.3f}"


def _notes(name: str, summary: pd.DataFrame) -> tuple[str, ...]:
    asked = list(dict.fromkeys(summary["measure"]))
    plain = [SHOWN[measure].title for measure in asked if not SHOWN[measure].per_cent]
    unit = f"In per cent, but {' and '.join(plain)}" if plain else "In per cent"
    better = "The lower, the better." if all(SHOWN[measure].lower for measure in asked) else "The higher, the better."
    spread = " Mean ± standard deviation over seeds (ddof 1)." if (summary["expected"] > 1).any() else ""
    found = [f"{unit}. {better}{spread} Definitions and sources: docs/measures.md."]
    if name == "open_world":
        found.append("Here, each image is classified among the classes of both halves.")
    if (summary["target"] == AVERAGE).any():
        found.append(f"Averages over the datasets that accuracy is averaged over; each dataset is in {name}.csv.")
    return tuple(found)


def _published(
    experiment: Mapping[str, Any], summary: pd.DataFrame, paper: PaperTable, caption: str, common: Sequence[str]
) -> Table:
    """The table `against_paper` for a measure, with another name and title."""
    of_measure = summary[(summary["measure"] == paper.measure) & (summary["metric"] != BOTH)].reset_index(drop=True)
    joined = beside.join(experiment, of_measure, paper)
    layout = grid(experiment, beside.first(joined))
    shown = SHOWN[paper.measure].title
    table = against.table(experiment, joined, layout, paper, f"{caption} {shown}, in per cent.", common)
    title = f"{experiment['title']}: {shown} next to published numbers"
    return replace(table, name=f"{paper.measure}_against_paper", title=title)
