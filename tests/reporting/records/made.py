"""Hand-made results: experiments, metrics, predictions and images as the workflow leaves them, with awkward names."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from cocoop import io
from cocoop.config import measures
from cocoop.evaluation.counts import tally
from cocoop.evaluation.measures import reliability, risk_coverage
from cocoop.manifest import Item, Manifest

AWKWARD = ['<b>cat & "dog"</b>', "100% | cotton", "under_score #1", "plain", "naïve ~ {x}", "o'clock $5"]
CLIP = {"name": "clip", "label": "CLIP", "method": "clip", "trainable": False}
COOP = {"name": "coop", "label": "CoOp", "method": "coop", "trainable": True}
COCOOP = {"name": "cocoop", "label": "CoCoOp", "method": "cocoop", "trainable": True}
PARAMETERS = {"clip": (0, 0), "coop": (512, 512), "cocoop": (2696, 2560)}


def experiment(kind: str = "base_to_new", **changes: Any) -> dict[str, Any]:
    """An experiment file's content with every record that its grid expects; changes replace keys of the grid."""
    content: dict[str, Any] = {
        "schema": 1,
        "kind": "experiment",
        "name": kind,
        "title": "A title & more",
        "table": kind,
        "caption": "What a reader must know.",
        "paper": None,
        "reference": None,
        "backbones": [{"name": "tiny", "label": "Tiny CLIP"}],
        "variants": [CLIP, COOP, COCOOP],
        "train_datasets": [{"name": "digits", "title": "Digits"}, {"name": "shapes", "title": "Shapes"}],
        "train_subset": "base",
        "targets": [],
        "target_subsets": ["base", "new"],
        "shots": [16],
        "seeds": [1, 2, 3],
    } | changes
    if len(content["backbones"]) == 1:
        content.setdefault("backbone", content["backbones"][0])  # as `of_each` gives it
    return content | {"expected": expected(content)}


def transfer(titles: dict[str, str], **changes: Any) -> dict[str, Any]:
    """An experiment that trains on the first of the datasets and tests on all of them; titles: by dataset."""
    datasets = [{"name": name, "title": title} for name, title in titles.items()]
    grid = {"train_datasets": datasets[:1], "targets": datasets, "target_subsets": ["all"], "train_subset": "all"}
    return experiment("transfer", **grid | changes)


def expected(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The record keys of a grid, as `cocoop.planning.content.experiment_content` lists them."""
    keys = []
    for trained in [dataset["name"] for dataset in content["train_datasets"]]:
        for target in [dataset["name"] for dataset in content["targets"]] or [trained]:
            for variant in content["variants"]:
                run = {"dataset": trained, "subset": content["train_subset"], "variant": variant["name"]}
                grid = [(shots, seed) for shots in content["shots"] for seed in content["seeds"]]
                if not variant["trainable"]:
                    run, grid = run | {"dataset": target, "subset": "all"}, [(0, 0)]
                keys += [
                    {**run, "shots": shots, "draw": "", "seed": seed, "target": target, "target_subset": subset}
                    for shots, seed in grid
                    for subset in content["target_subsets"]
                ]
    return [dict(key) for key in dict.fromkeys(tuple(key.items()) for key in keys)]


def record(key: dict[str, Any], accuracy: float) -> dict[str, Any]:
    """One row of records.csv."""
    trained, without_biases = PARAMETERS.get(key["variant"], (100, 90))
    scores = {"accuracy": accuracy, "mean_class_accuracy": accuracy, "macro_f1": accuracy}
    counts = {
        "method": key["variant"],
        "precision": "fp32",
        "selection": "",
        "correct": round(accuracy * 1000),
        "total": 1000,
        "classes": 4,
    }
    counts |= {"fewest_images": key["shots"] or None}
    measured = dict.fromkeys(measures.COLUMNS, accuracy / 2)
    parameters = {"trained": trained, "without_biases": without_biases}
    return {"backbone": "tiny", "draw": "", **key, **counts, **scores, **parameters, **measured}


def records(content: dict[str, Any], accuracy: Any) -> pd.DataFrame:
    """records.csv of an experiment of one backbone; accuracy(key) gives each number, None leaves the record out."""
    rows = [(key, accuracy(key)) for key in content["expected"]]
    frame = pd.DataFrame([record(key, value) for key, value in rows if value is not None])
    return frame.astype({"fewest_images": "Int64"})


def results_folder(
    root: Path,
    content: dict[str, Any],
    images: int = 10,
    skill: float = 0.6,
    notes: tuple[str, ...] = (),
    one_class: tuple[str, ...] = (),
) -> list[Path]:
    """Writes metrics, predictions, cost, history, manifests and images of an experiment; returns the metrics files.

    Each further backbone is worse than the one before it.

    notes: of every evaluation; the metrics have that key only if there are any. one_class: datasets with one new class.
    """
    datasets = sorted({key["target"] for key in content["expected"]})
    for dataset in datasets:
        _dataset(root, dataset, images)
    blocks: dict[tuple, list[dict[str, Any]]] = {}
    for key in content["expected"]:
        run = tuple(key[name] for name in ("dataset", "subset", "variant", "shots", "target"))
        blocks.setdefault(run, []).append(key)
    io.write_json(root / "results/experiments" / content["name"] / "experiment.json", content)
    return [
        _block(root, content, keys, images, skill - 0.2 * place, notes, one_class, backbone["name"])
        for place, backbone in enumerate(content["backbones"])
        for keys in blocks.values()
    ]


def _dataset(root: Path, dataset: str, images: int) -> None:
    items = []
    for label in range(len(AWKWARD)):
        for number in range(images):
            path = f"{label}/{number}.png"
            picture = root / "data" / dataset / path
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 6), (40 * label, 20 * number, 120)).save(picture)
            items.append(Item(path, label))
    Manifest(dataset, tuple(AWKWARD), {"test": tuple(items)}).save(root / f"results/datasets/{dataset}/manifest.json")


def _block(
    root: Path,
    content: dict[str, Any],
    keys: list[dict[str, Any]],
    images: int,
    skill: float,
    notes: tuple[str, ...],
    one_class: tuple[str, ...],
    backbone: str,
) -> Path:
    first, seeds = keys[0], sorted({key["seed"] for key in keys})
    run = (
        root
        / f"results/runs/{backbone}/{first['dataset']}/{first['subset']}/{first['variant']}/shots{first['shots']}/seeds1"
    )
    folder = run / "tests" / first["target"] / "+".join(content["target_subsets"])
    variant = next(variant for variant in content["variants"] if variant["name"] == first["variant"])
    settings = _settings(first, variant, seeds) | {"backbone": {"name": backbone, "precision": "fp32"}}
    tensors, kept = {}, []
    for key in keys:
        labels = {"base": [0, 1, 2], "new": [3, 4, 5], "all": list(range(6))}[key["target_subset"]]
        if key["target"] in one_class and key["target_subset"] == "new":
            labels = [3]
        truth = np.repeat(labels, images)
        generator = np.random.default_rng([key["seed"], len(first["variant"]), len(first["target"])])
        predicted = np.where(generator.random(len(truth)) < skill, truth, generator.choice(labels, len(truth)))
        name = key["target_subset"]
        index = np.concatenate([np.arange(label * images, (label + 1) * images) for label in labels])
        tensors |= {f"{name}.index": _int(index), f"{name}.labels": _int(truth)}
        tensors[f"seed{key['seed']}.{name}.predicted"] = _int(predicted)
        kept.append(
            {
                "backbone": backbone,
                **key,
                "method": variant["method"],
                "selection": "none",
                **tally(truth.tolist(), predicted.tolist(), labels, AWKWARD),
                **_measured(truth, predicted, generator),
            }
        )
    trained, without_biases = PARAMETERS.get(first["variant"], (100, 90))
    io.write_tensors(folder / "predictions.safetensors", tensors, {"kind": "predictions", "run": settings})
    parameters = {"trained": trained, "without_biases": without_biases, "tensors": {}}
    metrics = {"schema": 1, "kind": "metrics", "run": settings, "parameters": parameters, "records": kept}
    io.write_json(folder / "metrics.json", metrics | ({"notes": list(notes)} if notes else {}))
    encoder = {"parameters": 1_000_000 * len(backbone), "gflops": 0.5 * len(backbone)}
    _cost(folder / "cost.json", 2.0, image_encoder=encoder)
    if first["shots"]:
        io.write_tensors(run / "learned.safetensors", {"ctx": torch.zeros(1)}, {"kind": "learned", "run": settings})
        rows = [f"{seed},{epoch},0.002,{2 / epoch},{epoch / 10}" for seed in seeds for epoch in range(1, 6)]
        io.write_text(run / "history.csv", "\n".join(["seed,epoch,lr,loss,accuracy", *rows]) + "\n")
        _cost(run / "cost.json", 30.0)
        log = run.relative_to(root / "results/runs").with_suffix(".log")
        io.write_text(root / "results/logs/train" / log, "trained\n")
    return folder / "metrics.json"


def _measured(truth: np.ndarray, predicted: np.ndarray, generator: np.random.Generator) -> dict[str, Any]:
    right = predicted == truth
    sure = np.clip(0.6 * right + 0.4 * generator.random(len(truth)), 0.02, 1)
    return {
        "measures": dict.fromkeys(measures.COLUMNS, float(sure.mean())),
        "reliability": reliability(right, sure),
        "risk_coverage": risk_coverage(right, sure),
    }


def _settings(key: dict[str, Any], variant: dict[str, Any], seeds: list[int]) -> dict[str, Any]:
    training = {"epochs": 5, "batch_size": 1, "lr": 0.002} if key["shots"] else None
    run = {name: key[name] for name in ("dataset", "subset", "variant", "shots")}
    about = {"method": variant["method"], "params": {"words": "a photo of a"}}
    return {**run, **about, "seeds": seeds, "training": training}


def _cost(path: Path, seconds: float, **facts: Any) -> None:
    provenance = {"cocoop": "0.1.0", "commit": "abc123", "libraries": {"torch": "2.6"}, "device": "cpu"}
    measured = {"seconds": seconds, "peak_gpu_mb": None, "peak_mb": 812.5}
    cost = {**measured, "day": "2026-11-28", "provenance": provenance}
    io.write_json(path, {"schema": 1, "kind": "cost", **cost, **facts})


def _int(values: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.int32)
