"""GPU time of jobs from measurements of `python -m cocoop bench --json` on the device."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.errors import UserError
from cocoop.planning.cost.image_rate import ImageRate
from cocoop.planning.cost.work import NONE, PER_IMAGE, Estimator, Work
from cocoop.planning.job import Job
from cocoop.planning.stages import FEATURES, VIEWS
from cocoop.run import Evaluation, Run

IMAGE_STAGES = (FEATURES, VIEWS)
START_SECONDS = 10.0  # to start a job's process: Python, torch, the text encoder or the whole backbone
METHOD_OF_KIND = {PER_IMAGE: "cocoop", "per_step": "coop"}  # the method in the bench with the same computation


@dataclass(frozen=True)
class Curve:
    """Seconds of one step by its number of prompts.

    Interpolates linearly between points, which are sorted by prompts, and extrapolates proportionally above the last one.
    """

    points: tuple[tuple[int, float], ...]

    def seconds(self, prompts: int) -> float:
        sizes = [size for size, _ in self.points]
        place = bisect_left(sizes, prompts)
        if place == 0:
            return self.points[0][1]  # a GPU is not faster if a step does not fill it
        if place == len(sizes):
            size, seconds = self.points[-1]
            return seconds * prompts / size
        (low, first), (high, second) = self.points[place - 1 : place + 1]
        return first + (second - first) * (prompts - low) / (high - low)


Curves = dict[tuple[str, str], Curve]
"""Curves by method and pass."""


class Throughput:
    """Seconds of jobs on a measured device; None for jobs whose measurements are missing.

    path: output of `bench --json`.
    precision: precision of the backbone.
    images_per_second: speed of decoding and encoding; overrides the bench.
    workers: decoding processes.
    """

    def __init__(
        self, path: Path | None, precision: str, images_per_second: float | None = None, workers: int = 0
    ) -> None:
        self.where, self.images_per_second = None, images_per_second
        self.curves: dict[str, Curves] = {"fast": {}, "literal": {}}
        self.image_rate: ImageRate | None = None
        if path is None:
            return
        content = io.read_json(path, "bench")
        self.where, self.precision = content["where"], _precision(content["rows"], precision)
        self.curves = {side: _curves(content["rows"], self.precision, side) for side in self.curves}
        if content.get("images"):
            self.image_rate = ImageRate.measured(content["images"], self.precision, workers)
        missing = [f"{method} {work}" for method in ("cocoop", "coop") for work in ("train", "evaluate")
                   if (method, work) not in self.curves["fast"]]  # fmt: skip
        if missing:
            raise UserError(f"{path}: no rows for {', '.join(missing)}; measure again without --quick.")

    def image_seconds(self, estimator: Estimator, job: Job) -> float | None:
        """Seconds a GPU job spends on images (features, views, and live images of methods that use them); 0 for other jobs.

        None if the job's size or the throughput is unknown.
        """
        work = estimator.work(job)
        if work is None:
            return None
        start = START_SECONDS if job.stage in IMAGE_STAGES else 0.0
        if not work.images:
            return start
        rate = self.images_per_second or (self.image_rate and self.image_rate.of(job))
        return start + work.images / rate if rate else None

    def text_seconds(self, estimator: Estimator, job: Job, side: str = "fast") -> float | None:
        """Seconds a GPU job spends in the text encoder (trainings and tests); 0 for other jobs, None if unknown.

        side: "fast" for the exact prompt encoder, "literal" for all tokens of every prompt.
        """
        work = estimator.work(job)
        if job.stage in IMAGE_STAGES:
            return 0.0
        if work is None or not self.curves["fast"]:
            return None
        seconds = self._text(estimator, job, work, self.curves[side])
        return None if seconds is None else START_SECONDS + seconds

    def _text(self, estimator: Estimator, job: Job, work: Work, curves: Curves) -> float | None:
        run = job.about.run if isinstance(job.about, Evaluation) else job.about
        assert isinstance(run, Run)  # only trainings and tests get here
        kind = estimator.kind(run)
        if kind == NONE or not work.prompts:
            return 0.0
        curve = curves.get((METHOD_OF_KIND[kind], "evaluate" if isinstance(job.about, Evaluation) else "train"))
        if curve is None:
            return None
        if isinstance(job.about, Evaluation):
            size, seconds = curve.points[-1]
            return work.prompts * seconds / size
        return work.steps * curve.seconds(work.prompts_a_step)


def _precision(rows: list[Mapping[str, Any]], wanted: str) -> str:
    """The measured precision to use. fp16 is as fast as bf16; without half-precision rows (on a CPU), fp32 is used."""
    measured = {row["precision"] for row in rows}
    return "bf16" if wanted != "fp32" and "bf16" in measured else "fp32"


def _curves(rows: list[Mapping[str, Any]], precision: str, side: str) -> Curves:
    """A curve for each method and pass measured on this side; of rows with the same number of prompts, the fastest is used."""
    curves: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        if row["precision"] != precision or side not in row:
            continue
        prompts = row["classes"] * (row["batch"] if row["method"] == "cocoop" else 1)
        points = curves.setdefault((row["method"], row["work"]), {})
        points[prompts] = min(row[side]["seconds"], points.get(prompts, float("inf")))
    return {key: Curve(tuple(sorted(points.items()))) for key, points in curves.items()}
