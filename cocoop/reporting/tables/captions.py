"""An experiment's caption, built from what was actually run rather than from a configuration file."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cocoop.config.draw import ALL_SHOTS, PAIR_FLIP, shots_in_words
from cocoop.errors import counted, listed
from cocoop.reporting.records.experiment import of_each
from cocoop.reporting.records.notes import fewer_images
from cocoop.reporting.records.statistics import TRANSFER_KINDS
from cocoop.reporting.records.text import per_cent

MOST_NAMED = 4
SUBSETS = {"base": "the base classes", "new": "the new classes", "all": "all classes"}


def caption(experiment: Mapping[str, Any], selected: pd.DataFrame) -> str:
    """The experiment's own caption, then its backbones, training, test and chance level.

    selected: result of `cocoop.reporting.records.experiment.select`.
    """
    parts = (
        experiment["caption"].strip(),
        _backbones([one["backbone"]["label"] for one in of_each(experiment)]),
        _trained(experiment, selected),
        _tested(experiment),
        _guessing(selected),
    )
    return " ".join(part for part in parts if part)


def _backbones(labels: Sequence[str]) -> str:
    return f"Backbone{'s' if len(labels) > 1 else ''}: {_joined(labels)}."


def _trained(experiment: Mapping[str, Any], selected: pd.DataFrame) -> str:
    untrained = [variant["label"] for variant in experiment["variants"] if not variant["trainable"]]
    if len(untrained) == len(experiment["variants"]):
        return "Nothing was trained."
    subset = SUBSETS[experiment["train_subset"]] + (
        f" ({_halves(experiment)})" if experiment["train_subset"] == "base" else ""
    )
    datasets = _datasets(experiment["train_datasets"], experiment["table"] in TRANSFER_KINDS)
    seeds = len(experiment["seeds"])
    rest = f"; {_joined(untrained)} not trained" if untrained else ""
    return (
        f"Trained on {subset} of {datasets} with {_shots(experiment['shots'])}{_fewer(selected)} and "
        f"{'one seed' if seeds == 1 else f'{seeds} seeds'}{rest}.{_drawn(experiment)}"
    )


def _halves(experiment: Mapping[str, Any]) -> str:
    """Which halves of the classes are the base classes."""
    halves = experiment.get("drawn", {}).get("halves", [0])
    random = [str(number) for number in halves if number]
    names = ["the first half"] * (0 in halves)
    if random:
        names.append(f"random {'half' if len(random) == 1 else 'halves'} {_joined(random)}")
    return _joined(names)


def _drawn(experiment: Mapping[str, Any]) -> str:
    """What differs from the authors' draw of the training images."""
    drawn = experiment.get("drawn", {})
    noise, parts = drawn.get("label_noise"), []
    if noise:
        rates = _joined([f"{100 * rate:g}" for rate in noise["rates"]])
        other = "the next class" if noise.get("kind") == PAIR_FLIP else "another class at random"
        parts.append(
            f"Label noise: {rates} per cent of the training images have the label of {other}; validation and test labels are right."
        )
    if drawn.get("halves") and experiment["train_subset"] != "base":
        parts.append(f"Base classes: {_halves(experiment)}.")
    if drawn.get("imbalance"):
        ratios = _joined([f"{ratio:g}" for ratio in drawn["imbalance"]])
        parts.append(
            f"Imbalance: the first class has {ratios} times as many training images as the last, the others in between, "
            "falling exponentially."
        )
    if drawn.get("class_shots"):
        parts.append("Some classes have other numbers of training images (class_shots).")
    if drawn.get("drawn_like"):
        parts.append("The images are drawn as by CLIP-LoRA's code, which repeats images in classes with too few.")
    if drawn.get("draws"):
        parts.append("The few-shot images are read from files (draws).")
    return "".join(f" {part}" for part in parts)


def _tested(experiment: Mapping[str, Any]) -> str:
    groups = [SUBSETS[subset] for subset in SUBSETS if subset in experiment["target_subsets"]]
    apart = ", each group among its own classes only" if len(groups) > 1 else ""
    alone = " alone" if groups == [SUBSETS["base"]] or groups == [SUBSETS["new"]] else ""
    where = f" of {_datasets(experiment['targets'], named=True)}" if experiment["targets"] else ""
    return f"Tested on {_joined(groups)}{alone}{where}{apart}."


def _guessing(selected: pd.DataFrame) -> str:
    """Chance level: one over the number of classes, regardless of their sizes."""
    classes = selected["classes"].dropna()
    classes = classes[classes > 1]
    if classes.empty:
        return ""
    low, high = per_cent(1 / classes.max()), per_cent(1 / classes.min())
    span = f"{low} per cent" if low == high else f"{low} to {high} per cent, by the number of classes"
    return f"Guessing scores {span}."


def _shots(shots: Sequence[int]) -> str:
    numbers = [str(number) for number in sorted(shots) if number != ALL_SHOTS]
    every = [shots_in_words(ALL_SHOTS)] if ALL_SHOTS in shots else []
    named = [_joined(numbers) + (" shot" if numbers == ["1"] else " shots")] if numbers else []
    return _joined([*named, *every])


def _fewer(selected: pd.DataFrame) -> str:
    short = fewer_images(selected)
    if not short.any():
        return ""
    fewest = counted(selected.loc[short, "fewest_images"].min(), "image", "images")
    return f" (fewer in a class that has fewer images: as few as {fewest})"


def _datasets(datasets: Sequence[Mapping[str, str]], named: bool) -> str:
    titles = [dataset["title"] for dataset in datasets]
    if len(titles) == 1:
        return titles[0]
    return (listed(titles, MOST_NAMED) if len(titles) > MOST_NAMED else _joined(titles)) if named else "each dataset"


def _joined(words: Sequence[str]) -> str:
    return " and ".join([*([", ".join(words[:-1])] if len(words) > 1 else []), words[-1]])
