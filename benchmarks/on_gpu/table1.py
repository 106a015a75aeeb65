"""A whole Table 1 (base-to-new) in small, through the real workflow, with random weights and synthetic pictures."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import yaml

from cocoop.bench import images
from cocoop.bench.memory import environment
from cocoop.bench.sides import class_names
from cocoop.config.specs import BackboneSpec
from cocoop.io import REPOSITORY

SPLIT = {"train": 0.4, "val": 0.1, "test": 0.5, "seed": 1}  # of each class
DISTINCT = 256  # pictures that are drawn, which takes longer than to decode them; the others are links
BACKBONE, CONFIGURATION = "random", "table1.yaml"


@dataclass(frozen=True)
class Size:
    """images: of each class, in all splits; views: as in a configuration; epochs: by variant, by default the authors'."""

    datasets: int
    classes: int
    images: int
    shots: int
    seeds: int
    views: int | str = "per_epoch"
    epochs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """The folder, names of the datasets and backbone of a table that Snakemake has made, and what that took.

    Attributes:
        seconds: of Snakemake, from start to end.
        stages: seconds in the stages that a GPU is for, by stage.
        jobs: number of these stages.
        peak_mb: largest peak memory of a training: of the GPU, or of the process on a CPU.
    """

    folder: Path
    names: list[str]
    backbone: BackboneSpec
    seconds: float
    stages: Mapping[str, float]
    jobs: int
    peak_mb: float


def make(folder: Path, architecture: Mapping[str, Any], size: Size, device: str, cores: int) -> Made:
    """Makes the table in a new folder, one job at a time on the device. Raises SystemExit with the log if that fails."""
    spec = _backbone(folder, architecture, device)
    names = [f"pictures{number}" for number in range(1, size.datasets + 1)]
    for name in names:
        _dataset(folder, name, size)
    _configuration(folder, names, size, device)
    seconds = _snakemake(folder, cores)
    results = folder / "results"
    usage, stages = list((results / "usage").rglob("*.json")), Counter()
    for path in usage:
        stages[path.relative_to(results / "usage").parts[0]] += json.loads(path.read_text())["s"]
    costs = [json.loads(path.read_text()) for path in (results / "runs").rglob("cost.json")]
    peak = max(cost["peak_gpu_mb"] or cost["peak_mb"] for cost in costs)
    return Made(folder, names, spec, seconds, stages, len(usage), peak)


def _backbone(folder: Path, architecture: Mapping[str, Any], device: str) -> BackboneSpec:
    path = folder / "architecture.json"
    path.write_text(json.dumps(architecture))
    spec = BackboneSpec(BACKBONE, str(path), None, "fp16" if device == "cuda" else "fp32")  # as config/paper.yaml
    content = {"label": "random weights", "model": spec.model, "pretrained": None, "precision": spec.precision}
    _write(folder / f"config/backbones/{BACKBONE}.yaml", content)
    return spec


def _dataset(folder: Path, name: str, size: Size) -> None:
    """Pictures of one class look like those of another: with random weights, there is nothing to learn anyway."""
    pictures = folder / "pictures" / name
    (folder / "drawn" / name).mkdir(parents=True)
    drawn = cycle(images.draw(folder / "drawn" / name, min(DISTINCT, size.classes * size.images)))
    for label in range(size.classes):
        (pictures / f"{label:03}").mkdir(parents=True)
        for number in range(size.images):
            os.link(next(drawn), pictures / f"{label:03}" / f"{number:04}.jpg")
    reader = {"kind": "image_folder", "split": SPLIT, "names": class_names(size.classes)}
    content = {"title": name, "template": "a photo of a {}.", "link": str(pictures), "classes": size.classes}
    _write(folder / f"config/datasets/{name}.yaml", {**content, "reader": reader})


def _configuration(folder: Path, names: list[str], size: Size, device: str) -> None:
    experiment = {"train_datasets": names, "variants": ["clip", "coop", "cocoop"], "shots": [size.shots]}
    content = {
        "backbone": BACKBONE, "device": device, "offline": True, "data_root": "data", "views": size.views,
        "seeds": list(range(1, size.seeds + 1)), "seeds_per_job": size.seeds,
        "variants": {variant: {"training": {"epochs": count}} for variant, count in size.epochs.items()},
        "experiments": [{"base_to_new": experiment}],
    }  # fmt: skip
    _write(folder / CONFIGURATION, content)


def _snakemake(folder: Path, cores: int) -> float:
    """Seconds of the whole workflow."""
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "workflow/Snakefile")]
    command += ["--configfile", CONFIGURATION, "--cores", str(cores), "--resources", "gpu=1"]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: the workflow failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return time.perf_counter() - start


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
