"""What a run's tests say: accuracies, confused pairs, and the pictures that changed sides against zero-shot CLIP."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cocoop import io
from cocoop.run import Run

METRICS, PREDICTIONS = "metrics.json", "predictions.safetensors"
SHOWN = ("target", "target_subset", "correct", "total", "accuracy", "mean_class_accuracy", "macro_f1")


class Tested(NamedTuple):
    """One record of a metrics.json and its file."""

    file: Path
    run: Mapping[str, Any]
    record: Mapping[str, Any]

    @property
    def place(self) -> tuple[str, str]:
        """The target and its subset."""
        return self.record["target"], self.record["target_subset"]


def records_in(folder: Path, seed: int | None = None) -> Iterator[Tested]:
    """The records of all tests in a run's folder, sorted by path; of one seed, or of all."""
    for file in sorted((folder / "tests").glob(f"*/*/*/{METRICS}")):
        content = io.read_json(file, "metrics")
        for record in content["records"]:
            if seed in (None, record["seed"]):
                yield Tested(file, content["run"], record)


def tests_of(folder: Path, run: str, seed: int) -> Iterator[Tested]:
    """The records of a run's seed, without those of other runs in the folder; run: its settings as canonical JSON."""
    return (test for test in records_in(folder, seed) if io.canonical_json(test.run) == run)


def results_of(folder: Path, run: Run, seed: int) -> list[dict[str, Any]]:
    """The measured accuracies of a seed, for a model card."""
    tests = tests_of(folder, run.to_json(), seed)
    return [{key: test.record[key] for key in SHOWN if key in test.record} for test in tests]
