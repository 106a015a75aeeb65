"""Time of jobs from measurements of `python -m cocoop bench --json` on the device."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.errors import UserError
from cocoop.planning.cost import devices
from cocoop.planning.cost.image_rate import ImageRate, image_note
from cocoop.planning.cost.work import NONE, PER_IMAGE, Estimator, Work
from cocoop.planning.job import Job
from cocoop.planning.stages import FEATURES, VIEWS
from cocoop.run import Evaluation, Run

IMAGE_STAGES = (FEATURES, VIEWS)
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

    @property
    def fixed(self) -> float:
        """Seconds of a step without prompts, on the line through the first two points; 0 if there is only one point."""
        if len(self.points) == 1:
            return 0.0
        (low, first), (high, second) = self.points[:2]
        return min(first, max(0.0, first - (second - first) * low / (high - low)))


Curves = dict[tuple[str, str], Curve]
"""Curves by method and pass."""


class Throughput:
    """Seconds of jobs on a measured device (`phases.Speed`); None for jobs whose measurements are missing.

    path: output of `bench --json`.
    precision: precision of the backbone.
    images_per_second: speed of decoding and encoding; overrides the bench.
    workers: decoding processes.
    """

    def __init__(
        self, path: Path | None, precision: str, images_per_second: float | None = None, workers: int = 0
    ) -> None:
        self.where, self.images_per_second = None, images_per_second
        self.peak: float | None = None
        self.start = devices.assumptions("gpu").start
        self.curves: dict[str, Curves] = {"fast": {}, "literal": {}}
        self.image_rate: ImageRate | None = None
        if path is None:
            return
        content = io.read_json(path, "bench")
        self.where, self.precision = content["where"], _precision(content["rows"], precision)
        self.curves = {side: _curves(content["rows"], self.precision, side) for side in self.curves}
        peaks = [row.get("peak_flops") or 0.0 for row in content["rows"] if row["precision"] == self.precision]
        self.peak = max(peaks, default=0.0) or None
        self.start = devices.assumptions("cpu" if "CPU, " in content["where"] else "gpu").start
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
        if work is None or not work.images:
            return 0.0 if work else None
        rate = self.images_per_second or (self.image_rate and self.image_rate.of(job))
        return work.images / rate if rate else None

    def text_seconds(self, estimator: Estimator, job: Job, side: str = "fast") -> float | None:
        """Seconds a GPU job spends in the text encoder (trainings and tests); 0 for other jobs, None if unknown.

        side: "fast" for the exact prompt encoder, "literal" for all tokens of every prompt.
        """
        work = estimator.work(job)
        if job.stage in IMAGE_STAGES:
            return 0.0
        if work is None or not self.curves["fast"]:
            return None
        return self._text(estimator, job, work, self.curves[side])

    def launch_seconds(self, estimator: Estimator, job: Job) -> float | None:
        """Seconds of the training steps in `text_seconds` that their number of prompts does not change; 0 for other jobs."""
        work = estimator.work(job)
        if work is None or not work.steps:
            return 0.0 if work else None
        curve = self.curves["fast"].get((METHOD_OF_KIND[estimator.kind(_run(job))], "train"))
        return work.steps * curve.fixed if curve else None

    def notes(self) -> list[str]:
        """What the times are from, and what is missing."""
        if self.where is None:
            text = [
                f"For times, add --throughput with a device ({', '.join(devices.names())}; modelled), or measure yours with "
                "`python -m cocoop bench --json bench.json` and add --throughput bench.json."
            ]
        else:
            text = [
                f"Text: ViT-B/16's, measured on one {self.where}, {self.precision}; launches are the part of its training steps "
                "that does not grow with the number of prompts; the floor is all operations at the speed of its fastest product "
                "of matrices.",
                f"Starts: {self.start:.1f} s for each job (assumed).",
            ]
        if image := image_note(self.image_rate, self.images_per_second, "that device"):
            return [*text, image]
        missing = (
            "For images, run the bench without --quick, or give --images-per-second from the log of a `features` job."
        )
        return [*text, missing] if self.where else text

    def _text(self, estimator: Estimator, job: Job, work: Work, curves: Curves) -> float | None:
        kind = estimator.kind(_run(job))
        if kind == NONE or not work.prompts:
            return 0.0
        curve = curves.get((METHOD_OF_KIND[kind], "evaluate" if isinstance(job.about, Evaluation) else "train"))
        if curve is None:
            return None
        if isinstance(job.about, Evaluation):
            size, seconds = curve.points[-1]
            return work.prompts * seconds / size
        return work.steps * curve.seconds(work.prompts_a_step)


def _run(job: Job) -> Run:
    """The run of a training or test."""
    run = job.about.run if isinstance(job.about, Evaluation) else job.about
    assert isinstance(run, Run)
    return run


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
