"""What a reader of an experiment's numbers must know: said by its jobs, and seen in its records."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from cocoop.errors import counted
from cocoop.reporting.records.experiment import dataset_titles

ONE_CLASS = "‡"


def of(experiment: Mapping[str, Any], selected: pd.DataFrame, said: Iterable[str] = ()) -> tuple[str, ...]:
    """All notes of an experiment: groups of a single class, classes with too few images, and what its jobs said.

    selected: of `cocoop.reporting.records.experiment.select`; said: of `cocoop.reporting.records.records.load_notes`.
    """
    return (*one_class(experiment, selected), *few_images(experiment, selected), *said)


def one_class(experiment: Mapping[str, Any], selected: pd.DataFrame) -> tuple[str, ...]:
    """Which groups of classes hold a single class, what that means and what to do instead."""
    titles = dataset_titles(experiment)
    single = selected[selected["classes"] == 1][["target", "target_subset"]].drop_duplicates()
    if single.empty:
        return ()
    names = [f"{titles[target]} ({subset})" for target, subset in single.itertuples(index=False, name=None)]
    halves = set(single["target_subset"]) - {"all"}
    instead = (
        "at least four classes, or test on all classes at once (target_subsets: [all])" if halves else "more classes"
    )
    return (
        f"{ONE_CLASS} One class only: {', '.join(names)}. Every answer is right, whatever the method, so there is no number "
        f"here and averages leave the dataset out. Take a dataset with {instead}.",
    )


def few_images(experiment: Mapping[str, Any], selected: pd.DataFrame) -> tuple[str, ...]:
    """Per dataset, subset and number of shots: that the smallest class has fewer images than shots."""
    titles = dataset_titles(experiment)
    short = selected[selected["fewest_images"].notna() & (selected["fewest_images"] < selected["shots"])]
    fewest = short.groupby(["dataset", "subset", "shots"], sort=False)["fewest_images"].min()
    return tuple(
        f"{titles[dataset]} ({subset} classes), {shots} shots: a class has only {counted(images, 'image', 'images')} to train on; "
        "all of them are used."
        for (dataset, subset, shots), images in fewest.items()
    )
