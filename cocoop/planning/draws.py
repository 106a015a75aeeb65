"""The few-shot draws of an experiment: which block of seeds gets which."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from cocoop import draws
from cocoop.config.draw import COOP, Draw, shots_text
from cocoop.config.experiment import ExperimentSpec
from cocoop.config.specs import DatasetSpec
from cocoop.io import canonical_json, identity
from cocoop.planning.job import Job, Views
from cocoop.planning.stages import FEWSHOT
from cocoop.run import Run

FIRST = "first"
Seeds = tuple[int, ...]


def halves_of(written: str | Sequence[int | str]) -> tuple[int, ...]:
    """Numbers of class halves as written in an experiment: `first` is 0."""
    listed = [written] if isinstance(written, str) else written
    return tuple(0 if half == FIRST else int(half) for half in listed)


def described(experiment: ExperimentSpec) -> dict[str, Any]:
    """What differs from the authors' draws in an experiment, for its captions; empty for nothing."""
    values = {
        "draws": experiment.draws,
        "label_noise": dict(experiment.label_noise),
        "imbalance": [] if experiment.imbalance == (1,) else list(experiment.imbalance),
        "class_shots": experiment.class_shots,
        "drawn_like": "" if experiment.drawn_like == COOP else experiment.drawn_like,
        "halves": [] if experiment.halves == (0,) else list(experiment.halves),
    }
    return {name: value for name, value in values.items() if value}


def of_blocks(
    experiment: ExperimentSpec, dataset: str, shots: int, blocks: Sequence[Seeds]
) -> Iterator[tuple[Seeds, Draw]]:
    """Each block of seeds with its draw, for every level of noise and imbalance.

    Seeds whose files have different numbers of images cannot train in one batch: their block is split.
    """
    for seeds in blocks:
        for draw in experiment.draws_on(dataset):
            if experiment.draws is None:
                yield seeds, draw
                continue
            files = {seed: _file(experiment.draws, dataset, shots, seed) for seed in seeds}
            alike = len({images for _, images in files.values()}) == 1
            for block in [seeds] if alike else [(seed,) for seed in seeds]:
                digests = tuple(files[seed][0] for seed in block)
                yield block, replace(draw, files=digests, folder=experiment.draws)


def fewshot(spec: DatasetSpec, manifest: str, drawn: Views | Run, seed: int) -> Job:
    """The job that draws the images of one seed. An uneven draw depends on the classes trained on, others do not."""
    draw = drawn.draw.images.of_seed(drawn.seeds.index(seed))
    subset = drawn.subset if draw.uneven else "all"
    wildcards = {
        "dataset": spec.name, "id": spec.data, "shots": shots_text(drawn.shots), "seed": str(seed),
        "draw": f"-{identity(draw.settings, subset)}" if draw.settings else "",
    }  # fmt: skip
    inputs: dict[str, str | tuple[str, ...]] = {"manifest": manifest}
    words = ["--manifest", manifest, "--shots", wildcards["shots"], "--seed", str(seed)]
    if replace(draw, files=()).settings:
        words += ["--draw", canonical_json(draw.settings), "--subset", subset]
    if draw.files:
        inputs["drawn"] = file = str(draws.file_of(draw.folder, spec.name, drawn.shots, seed))
        words += ["--drawn", file]
    words += ["--out", FEWSHOT.outputs["fewshot"].format(**wildcards)]
    return Job(FEWSHOT, spec.name, wildcards, inputs, lambda: words)


def _file(folder: str, dataset: str, shots: int, seed: int) -> tuple[str, str]:
    """The digest of a draw's file, and what the file beside it says of its numbers of images."""
    path = draws.file_of(folder, dataset, shots, seed)
    about = draws.read_beside(path, dataset, shots, seed)
    return _digest(path, path.stat().st_mtime_ns if path.exists() else 0), canonical_json(
        [about.get(f"{split}_images") for split in draws.DRAWN]
    )


@cache
def _digest(path: Path, _: int) -> str:
    return draws.digest(path)
