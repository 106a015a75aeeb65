"""Measures planning and reporting of a large benchmark: seconds and peak memory of each command, on synthetic results.

    python benchmarks/tables.py                # 20 methods x 15 datasets x 7 numbers of shots x 10 seeds: 21,000 runs
    python benchmarks/tables.py --methods 4    # fewer methods

`plan` plans that many runs in jobs of one seed each, which is the most that they can be. collect, tables, paired and figures get
one experiment of kind `curves` or `base_to_new` (--kind) with as many runs. Each metrics file is that of an evaluation with 50
classes and 10 seeds, with predictions for 2,000 images.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from cocoop import io
from cocoop.config import measures

SEEDS, SHOTS, CLASSES, IMAGES = tuple(range(1, 11)), (1, 2, 3, 4, 6, 8, 16), 50, 2000
DATASETS = (
    "imagenet", "caltech101", "oxford_pets", "stanford_cars", "flowers102", "food101", "fgvc_aircraft", "sun397", "dtd",
    "eurosat", "ucf101", "digits", "shapes", "textures", "letters",
)  # fmt: skip
VARIANTS = (
    "coop", "cocoop", "kgcoop", "prograd", "tcp", "plot", "clip_adapter", "taskres", "tip_adapter", "tip_adapter_f", "lpp", "maple",
    "promptsrc", "mmrl", "mma", "clip_lora", "ivlp", "vpt", "gda", "linear_probe",
)  # fmt: skip
SUBSETS = {"curves": ("all",), "base_to_new": ("base", "new")}


def run(what: str, *words: str | Path) -> None:
    """Runs a command of ours and prints its seconds and its peak memory."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "cocoop", *map(str, words)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{what}: failed")
    print(f"{what}: {time.perf_counter() - start:.1f} s, {used.ru_maxrss / 1024:,.0f} MB", flush=True)


def plan(folder: Path, methods: Sequence[str]) -> None:
    grid = {
        "paper": None, "reference": None, "variants": list(methods), "train_datasets": list(DATASETS), "train_subset": "all",
        "shots": list(SHOTS), "targets": [], "target_subsets": ["all"],
    }  # fmt: skip
    content = {
        "backbone": "vit_b16",
        "seeds": list(SEEDS),
        "seeds_per_job": 1,
        "experiments": {"few_shot_curves": grid},
    }
    io.write_text(folder / "many.yaml", yaml.safe_dump(content))
    run("plan", "plan", "--configfile", folder / "many.yaml")


def results(folder: Path, methods: Sequence[str], kind: str) -> dict[str, Any]:
    """Writes synthetic results and returns the content of experiment.json.

    Runs in a process of its own: the peak memory of a command counts from that of the process that starts it.
    """
    import numpy as np
    import torch

    expected: list[dict[str, Any]] = []
    generator = np.random.default_rng(0)
    labels = np.arange(IMAGES) % CLASSES
    for place, (variant, dataset, shots) in enumerate(product(methods, DATASETS, SHOTS)):
        about = {
            "dataset": dataset,
            "subset": "all" if kind == "curves" else "base",
            "variant": variant,
            "shots": shots,
        }
        here, records, arrays = folder / "runs" / variant / dataset / str(shots), [], {}
        for seed, subset in product(SEEDS, SUBSETS[kind]):
            right = generator.random(IMAGES) < 0.5 + 0.02 * (place % 11) + 0.01 * generator.standard_normal()
            predicted = np.where(right, labels, (labels + 1) % CLASSES)
            arrays[f"seed{seed}.{subset}.predicted"] = torch.as_tensor(predicted, dtype=torch.int32)
            arrays |= {f"{subset}.{name}": torch.as_tensor(values, dtype=torch.int32)
                       for name, values in (("index", np.arange(IMAGES)), ("labels", labels))}  # fmt: skip
            key = {**about, "seed": seed, "target": dataset, "target_subset": subset}
            counts = [(int(right[labels == label].sum()), IMAGES // CLASSES) for label in range(CLASSES)]
            classes = [
                {"name": f"class {c}", "label": c, "correct": n, "total": of} for c, (n, of) in enumerate(counts)
            ]
            scores: dict[str, Any] = dict.fromkeys(("accuracy", "mean_class_accuracy", "macro_f1"), float(right.mean()))
            scores["measures"] = dict.fromkeys(measures.COLUMNS, float(right.mean()))
            scores["reliability"] = {name: [100.0 / 3] * 15 for name in ("images", "confidence", "right")}
            scores["risk_coverage"] = [place / 20 for place in range(20)]
            counted = {"correct": int(right.sum()), "total": IMAGES, "classes": classes, "confusions": []}
            records.append({"backbone": "tiny", **key, "method": variant, "selection": "none", **counted, **scores})
            expected.append(key)
        settings = {**about, "seeds": list(SEEDS), "training": None, "method": variant, "params": {}}
        parameters = {"trained": 512, "without_biases": 512, "tensors": {}}
        io.write_tensors(here / "predictions.safetensors", arrays, {"kind": "predictions", "run": settings})
        content = {"schema": 1, "kind": "metrics", "run": settings, "parameters": parameters, "records": records}
        io.write_json(here / "metrics.json", content)
        cost = {"seconds": 10.0, "peak_mb": 900.0, "peak_gpu_mb": None, "provenance": {"device": "cpu"}}
        io.write_json(here / "cost.json", {"schema": 1, "kind": "cost", **cost})
    io.write_text(folder / "metrics.txt", "\n".join(map(str, sorted((folder / "runs").rglob("metrics.json")))))
    io.write_text(folder / "costs.txt", "\n".join(map(str, sorted((folder / "runs").rglob("cost.json")))))
    io.write_text(folder / "histories.txt", "")
    described = [{"name": v, "label": v, "method": v, "trainable": True, "place": n} for n, v in enumerate(methods)]
    return {
        "schema": 1, "kind": "experiment", "name": "many", "title": "Many", "table": kind, "caption": "", "paper": None,
        "reference": None,
        "backbones": [{"name": "tiny", "label": "Tiny"}], "measures": list(measures.ASKED) if kind == "base_to_new" else [],
        "variants": described,
        "train_datasets": [{"name": d, "title": d} for d in DATASETS], "train_subset": expected[0]["subset"], "targets": [],
        "target_subsets": list(SUBSETS[kind]), "shots": list(SHOTS), "seeds": list(SEEDS), "expected": expected,
    }  # fmt: skip


def main(methods: Sequence[str], kind: str, reference: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{len(methods) * len(DATASETS) * len(SHOTS) * len(SEEDS):,} runs, kind {kind}", flush=True)
        plan(folder, methods)
        with ProcessPoolExecutor(1, get_context("spawn")) as writer:
            experiment = writer.submit(results, folder, methods, kind).result()
        experiment["reference"] = methods[0] if reference else None
        io.write_json(folder / "experiment.json", experiment)
        print(f"{len(experiment['expected']):,} records", flush=True)
        which, records = ("--experiment", folder / "experiment.json"), folder / "records.csv"
        run("collect", "collect", "--metrics", folder / "metrics.txt", "--out", records)
        costs = ("--costs", folder / "costs.txt")
        run("tables", "tables", *which, "--records", records, *costs, "--out", folder / "tables")
        metrics = ("--metrics", folder / "metrics.txt")
        run("paired", "paired", *which, *metrics, "--records", records, "--out", folder / "paired")
        histories = ("--histories", folder / "histories.txt")
        run(
            "figures",
            "figures",
            *which,
            "--records",
            records,
            *costs,
            *histories,
            *metrics,
            "--out",
            folder / "figures",
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", type=int, default=len(VARIANTS), help="how many of the 20 methods")
    parser.add_argument("--kind", choices=sorted(SUBSETS), default="curves")
    parser.add_argument("--reference", action="store_true", help="compare with the first method instead of every two")
    options = parser.parse_args()
    main(VARIANTS[: options.methods], options.kind, options.reference)
