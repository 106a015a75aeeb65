"""Notes that a reader of an experiment's numbers needs: those of its jobs, and those that follow from its records."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from cocoop.config.draw import ALL_SHOTS, UNEVEN
from cocoop.errors import counted
from cocoop.reporting.records.experiment import dataset_titles

ONE_CLASS = "‡"


def of(experiment: Mapping[str, Any], selected: pd.DataFrame, said: Iterable[str] = ()) -> tuple[str, ...]:
    """All notes of an experiment: groups of a single class, classes with too few images, and the notes of its jobs.

    selected: result of `cocoop.reporting.records.experiment.select`; said: result of
    `cocoop.reporting.records.records.load_notes`.
    """
    return (*one_class(experiment, selected), *few_images(experiment, selected), *said)


def one_class(experiment: Mapping[str, Any], selected: pd.DataFrame) -> tuple[str, ...]:
    """A note that names the groups with a single class, what that means, and what to do instead."""
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
        f"{ONE_CLASS} One class only: {', '.join(names)}. Every answer is right, so no number is shown, and averages "
        f"leave the dataset out. Use a dataset with {instead}.",
    )


def fewer_images(selected: pd.DataFrame) -> pd.Series:
    """The rows whose smallest class has fewer images than shots, although all classes were to have as many."""
    even = (selected["shots"] != ALL_SHOTS) & ~selected["draw"].str.contains(UNEVEN)
    return even & selected["fewest_images"].notna() & (selected["fewest_images"] < selected["shots"])


def few_images(experiment: Mapping[str, Any], selected: pd.DataFrame) -> tuple[str, ...]:
    """A note for each dataset, subset and number of shots whose smallest class has fewer images than shots."""
    titles = dataset_titles(experiment)
    short = selected[fewer_images(selected)]
    fewest = short.groupby(["dataset", "subset", "shots"], sort=False)["fewest_images"].min()
    return tuple(
        f"{titles[dataset]} ({subset} classes), {shots} shots: a class has only {counted(images, 'image', 'images')} to train on; "
        "all of them are used."
        for (dataset, subset, shots), images in fewest.items()
    )
