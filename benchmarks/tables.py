"""Measures the time to collect records and build tables: `python benchmarks/tables.py [RUNS]` (default: 20,000 runs).

Each metrics file is as large as that of a 50-class evaluation with three seeds: 20,000 runs make 6,667 files and 40,000 records.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from cocoop import io
from cocoop.config import measures
from cocoop.reporting import tables
from cocoop.reporting.figures import confidence
from cocoop.reporting.records import records as results

SEEDS, SUBSETS, CLASSES = (1, 2, 3), ("base", "new"), 50
DATASETS = [f"dataset{number}" for number in range(11)]


@contextmanager
def timed(what: str) -> Iterator[None]:
    start, busy = time.perf_counter(), time.process_time()
    yield
    print(f"{what}: {time.perf_counter() - start:.1f} s, {time.process_time() - busy:.1f} s of CPU time")


def metrics_file(folder: Path, variant: str, dataset: str) -> tuple[Path, list[dict]]:
    """Writes the metrics of one evaluation with synthetic counts; returns its path and the keys of its records."""
    keys = [
        {
            "dataset": dataset,
            "subset": "base",
            "variant": variant,
            "shots": 16,
            "seed": seed,
            "target": dataset,
            "target_subset": subset,
        }
        for seed, subset in product(SEEDS, SUBSETS)
    ]
    classes = [
        {"name": f"class {label}", "label": label, "correct": label % 40, "total": 40} for label in range(CLASSES)
    ]
    scores = {"method": "coop", "correct": 975, "total": 2000, "classes": classes, "confusions": []}
    scores |= {name: (hash(variant) % 997) / 997 for name in ("accuracy", "mean_class_accuracy", "macro_f1")}
    scores["measures"] = dict.fromkeys(measures.COLUMNS, scores["accuracy"])
    scores["reliability"] = {name: [100.0 / 3] * 15 for name in ("images", "confidence", "right")}
    scores["risk_coverage"] = [place / 20 for place in range(20)]
    records = [{"backbone": "tiny", **key, **scores} for key in keys]
    path = folder / variant / dataset / "metrics.json"
    parameters = {"trained": 512, "without_biases": 512, "tensors": {"ctx": [4, 128]}}
    io.write_json(path, {"schema": 1, "kind": "metrics", "settings": {}, "parameters": parameters, "records": records})
    return path, keys


def main(runs: int) -> None:
    variants = [f"variant{number}" for number in range(-(-runs // (len(SEEDS) * len(DATASETS))))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with timed("write synthetic metrics"):
            files = [metrics_file(folder, variant, dataset) for variant, dataset in product(variants, DATASETS)]
        experiment = {
            "schema": 1, "kind": "experiment", "name": "many", "title": "Many", "table": "base_to_new", "caption": "",
            "paper": None, "reference": None,
            "backbone": {"name": "tiny", "label": "Tiny"}, "train_subset": "base", "targets": [], "target_subsets": list(SUBSETS),
            "variants": [{"name": v, "label": v, "method": "coop", "trainable": True} for v in variants],
            "train_datasets": [{"name": d, "title": d} for d in DATASETS], "shots": [16], "seeds": list(SEEDS),
            "expected": [key for _, keys in files for key in keys],
        }  # fmt: skip
        io.write_json(folder / "experiment.json", experiment)
        print(f"{len(files) * len(SEEDS)} runs, {len(files)} files, {len(experiment['expected'])} records")
        with timed("collect"):
            results.collect([path for path, _ in files], folder / "records.csv")
        with timed("tables"):
            tables.build_all(folder / "experiment.json", folder / "records.csv", folder / "tables")
        io.write_json(folder / "measured.json", experiment | {"measures": list(measures.ASKED)})
        with timed("tables with all measures"):
            tables.build_all(folder / "measured.json", folder / "records.csv", folder / "tables")
        with timed("reading of what the figures of measures show"):
            confidence.read(experiment, results.load(folder / "records.csv"), [path for path, _ in files])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
