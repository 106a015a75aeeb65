"""How far the results of two machines, or of two releases of torch, lie apart.

    python benchmarks/two_machines.py results other/results

Compares two results folders of the same configuration: whether each experiment's records.csv and each training's
learned.safetensors have the same bytes, and the largest differences. Prints a Markdown table: accuracies are means over
seeds, in points, the average over datasets apart from single datasets; tensors relative to their largest value.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from cocoop import io
from cocoop.errors import UserError
from cocoop.metrics import harmonic_mean
from cocoop.reporting.records import records

HEAD = ("variant", "accuracies compared", "average over datasets", "largest of one dataset", "trainings", "same bytes",
        "largest difference of a tensor")  # fmt: skip
TARGET = ["dataset", "subset", "shots", "target", "target_subset"]


def accuracies(results: Path) -> pd.DataFrame:
    """Accuracy of every record of all experiments, in points, each key once."""
    paths = sorted(results.glob("experiments/*/records.csv"))
    if not paths:
        raise UserError(f"{results}: no experiments/*/records.csv; give a results folder.")
    frame = pd.concat([records.load(path) for path in paths]).drop_duplicates(records.KEY)
    return frame.assign(points=100 * frame["accuracy"]).set_index(records.KEY)[["points"]]


def averages(points: pd.Series) -> pd.Series:
    """Over datasets, by shots and subset tested on; with H of the averaged base and new where both are there."""
    means = points.groupby(["subset", "shots", "target_subset"]).mean()
    wide = means.unstack("target_subset")
    if {"base", "new"} <= set(wide):
        wide["H"] = [
            harmonic_mean(base / 100, new / 100) * 100 for base, new in zip(wide["base"], wide["new"], strict=True)
        ]
    return wide.stack()


def largest(one: pd.Series, other: pd.Series) -> float:
    return float((one - other).abs().max())


def tensors(paths: Sequence[Path], one: Path, other: Path) -> tuple[int, float]:
    """Of trainings below both folders: how many are the same bytes, and the largest difference over the largest value."""
    same, worst = 0, 0.0
    for path in paths:
        same += io.sha256_file(one / path) == io.sha256_file(other / path)
        first, second = (io.read_tensors(folder / path, "learned")[0] for folder in (one, other))
        if first.keys() != second.keys() or any(first[name].shape != second[name].shape for name in first):
            raise UserError(f"{other / path}: other tensors than {one / path}; compare results of one configuration.")
        for name, tensor in first.items():
            worst = max(worst, float((tensor - second[name]).abs().max() / tensor.abs().max().clamp_min(1e-30)))
    return same, worst


def trainings(results: Path, variant: str) -> set[Path]:
    """Paths of the variant's learned tensors, relative to the folder: runs/BACKBONE/DATASET/SUBSET/VARIANT/SHOTS/SEEDS/ID."""
    return {path.relative_to(results) for path in results.glob(f"runs/*/*/*/{variant}/*/*/*/learned.safetensors")}


def row(variant: str, both: pd.DataFrame, one: Path, other: Path) -> tuple:
    """both: columns `one` and `other`, the accuracies of a variant's records in points."""
    means = both.groupby(TARGET).mean()
    far = largest(averages(means["one"]), averages(means["other"]))
    paths = sorted(trainings(one, variant) & trainings(other, variant))
    same, worst = tensors(paths, one, other)
    change = f"{worst:.1e}" if paths else ""
    return variant, len(both), f"{far:.2f}", f"{largest(means['one'], means['other']):.2f}", len(paths), same, change


def compare(one: Path, other: Path) -> str:
    """The report on two results folders."""
    first, second = accuracies(one), accuracies(other)
    both = pd.DataFrame({"one": first["points"], "other": second["points"]}).dropna()
    rows = [row(variant, part, one, other) for variant, part in both.groupby("variant")]
    lines = [tabulate(rows, HEAD, "pipe", disable_numparse=True), ""]
    for path in sorted(one.glob("experiments/*/records.csv")):
        twin = other / path.relative_to(one)
        alike = twin.exists() and io.sha256_file(path) == io.sha256_file(twin)
        lines.append(f"{path.relative_to(one)}: {'the same bytes' if alike else 'not the same bytes'}")
    alone = len(first) + len(second) - 2 * len(both)
    return "\n".join([*lines, f"records that only one of the two has: {alone}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("one", type=Path, help="results folder")
    parser.add_argument("other", type=Path, help="results folder of the other machine")
    arguments = parser.parse_args()
    try:
        print(compare(arguments.one, arguments.other))
    except UserError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
