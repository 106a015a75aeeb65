"""Compares the results of two machines or of two releases of torch.

    python benchmarks/two_machines.py results other/results

Takes two results folders of the same configuration. Reports whether each experiment's records.csv and each training's
learned.safetensors have identical bytes, and the largest differences in a Markdown table: of mean accuracies over seeds in
percentage points, for the average over datasets and for single datasets, and of tensors relative to their largest value.
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

HEAD = ("variant", "accuracies compared", "average over datasets", "largest, one dataset", "trainings", "identical bytes",
        "largest, one tensor")  # fmt: skip
TARGET = ["dataset", "subset", "shots", "target", "target_subset"]


def accuracies(results: Path) -> pd.DataFrame:
    """Accuracy of all records of all experiments in percentage points, without duplicates."""
    paths = sorted(results.glob("experiments/*/records.csv"))
    if not paths:
        raise UserError(f"{results}: no experiments/*/records.csv found; give a results folder.")
    frame = pd.concat([records.load(path) for path in paths]).drop_duplicates(records.KEY)
    return frame.assign(points=100 * frame["accuracy"]).set_index(records.KEY)[["points"]]


def averages(points: pd.Series) -> pd.Series:
    """Means over datasets by shots and test subset, with H of the mean base and new accuracy if both exist."""
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
    """Number of trainings with identical bytes in both folders, and the largest difference relative to a tensor's largest value."""
    same, worst = 0, 0.0
    for path in paths:
        same += io.sha256_file(one / path) == io.sha256_file(other / path)
        first, second = (io.read_tensors(folder / path, "learned")[0] for folder in (one, other))
        if first.keys() != second.keys() or any(first[name].shape != second[name].shape for name in first):
            raise UserError(
                f"{other / path}: its tensors differ in name or shape from {one / path}; compare results of the same configuration."
            )
        for name, tensor in first.items():
            worst = max(worst, float((tensor - second[name]).abs().max() / tensor.abs().max().clamp_min(1e-30)))
    return same, worst


def trainings(results: Path, variant: str) -> set[Path]:
    """Paths of the variant's learned tensors, relative to the folder: runs/BACKBONE/DATASET/SUBSET/VARIANT/SHOTS/SEEDS/ID."""
    return {path.relative_to(results) for path in results.glob(f"runs/*/*/*/{variant}/*/*/*/learned.safetensors")}


def row(variant: str, both: pd.DataFrame, one: Path, other: Path) -> tuple:
    """A row of the table. both: accuracies of a variant's records in percentage points, in columns `one` and `other`."""
    means = both.groupby(TARGET).mean()
    far = largest(averages(means["one"]), averages(means["other"]))
    paths = sorted(trainings(one, variant) & trainings(other, variant))
    same, worst = tensors(paths, one, other)
    change = f"{worst:.1e}" if paths else ""
    return variant, len(both), f"{far:.2f}", f"{largest(means['one'], means['other']):.2f}", len(paths), same, change


def compare(one: Path, other: Path) -> str:
    """The comparison of two results folders as text."""
    first, second = accuracies(one), accuracies(other)
    both = pd.DataFrame({"one": first["points"], "other": second["points"]}).dropna()
    rows = [row(variant, part, one, other) for variant, part in both.groupby("variant")]
    lines = [tabulate(rows, HEAD, "pipe", disable_numparse=True), ""]
    for path in sorted(one.glob("experiments/*/records.csv")):
        twin = other / path.relative_to(one)
        identical = twin.exists() and io.sha256_file(path) == io.sha256_file(twin)
        lines.append(f"{path.relative_to(one)}: {'identical bytes' if identical else 'different bytes'}")
    unmatched = len(first) + len(second) - 2 * len(both)
    return "\n".join([*lines, f"records in only one of the two folders: {unmatched}"])


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
