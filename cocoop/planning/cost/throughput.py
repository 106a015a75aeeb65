"""GPU time of jobs from what `python -m cocoop bench --json` measured on the device."""

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
START_SECONDS = 10.0  # of a job's process: Python, torch, the text tower or the whole backbone
METHOD_OF_KIND = {PER_IMAGE: "cocoop", "per_step": "coop"}  # which rows of the bench have the same computation


@dataclass(frozen=True)
class Curve:
    """Seconds of one step by prompts in it, ascending; between two points linear, beyond the ends in proportion."""

    points: tuple[tuple[int, float], ...]

    def seconds(self, prompts: int) -> float:
        sizes = [size for size, _ in self.points]
        place = bisect_left(sizes, prompts)
        if place == 0:
            return self.points[0][1]  # a GPU is not faster with less than it can fill
        if place == len(sizes):
            size, seconds = self.points[-1]
            return seconds * prompts / size
        (low, first), (high, second) = self.points[place - 1 : place + 1]
        return first + (second - first) * (prompts - low) / (high - low)


Curves = dict[tuple[str, str], Curve]
"""By method and pass."""


class Throughput:
    """Seconds of jobs on a measured device; without measurements, None of the jobs that need them.

    path: what `bench --json` wrote; images_per_second: through decoding and image tower, in place of the bench's; workers:
    processes that decode images.
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
        lacking = [f"{method} {work}" for method in ("cocoop", "coop") for work in ("train", "evaluate")
                   if (method, work) not in self.curves["fast"]]  # fmt: skip
        if lacking:
            raise UserError(f"{path}: no rows for {', '.join(lacking)}; measure again without --quick.")

    def image_seconds(self, estimator: Estimator, job: Job) -> float | None:
        """Of a GPU job with images (features, views, and the images of methods that take them live); 0 for others.

        None where the job's size or the throughput is unknown.
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
        """Of a GPU job with the text tower, a training or test; 0 for others. None where size or throughput are unknown.

        side: fast, or literal, as if every prompt went through the tower whole.
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
    """fp16 and bf16 cost the same; without half-precision rows (a CPU) those of fp32 count."""
    found = {row["precision"] for row in rows}
    return "bf16" if wanted != "fp32" and "bf16" in found else "fp32"


def _curves(rows: list[Mapping[str, Any]], precision: str, side: str) -> Curves:
    """One curve for each method and pass that the side was measured in; of several rows with as many prompts the fastest."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        if row["precision"] != precision or side not in row:
            continue
        prompts = row["classes"] * (row["batch"] if row["method"] == "cocoop" else 1)
        points = found.setdefault((row["method"], row["work"]), {})
        points[prompts] = min(row[side]["seconds"], points.get(prompts, float("inf")))
    return {key: Curve(tuple(sorted(points.items()))) for key, points in found.items()}
