"""Images per second that a job decodes and encodes, from measurements of `python -m cocoop bench --json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.planning.cost.groups import profile
from cocoop.planning.job import Job, Views
from cocoop.planning.stages import TRAIN


@dataclass(frozen=True)
class ImageRate:
    """Speed of decoding and encoding.

    Attributes:
        device: images per second through the image encoder.
        picture: seconds that one process takes to decode an image.
        view: seconds that one process takes to crop a view from a decoded image.
        workers: number of decoding processes; 0 if the process of the image encoder also decodes.
        model: the image encoder.
    """

    device: float
    picture: float
    view: float
    workers: int
    model: str = "ViT-B/16"

    @classmethod
    def measured(cls, images: Mapping[str, Any], precision: str, workers: int) -> "ImageRate":
        """images: the `images` entry of the bench; precision: the row to use, or the first row if there is none for it."""
        rates = {row["precision"]: row["images_per_second"] for row in images["tower"]}
        decoding = images["decoding"]
        device = rates.get("fp16" if precision == "auto" else precision, next(iter(rates.values())))
        return cls(device, decoding["picture_seconds"], decoding["view_seconds"], workers)

    def of(self, job: Job) -> float:
        """Images per second for a job.

        An image with several cached views is decoded once. A training on live images also runs a backward pass, which costs
        about as much as the forward pass because the weights are frozen.
        """
        views = job.about.per_image if isinstance(job.about, Views) else 1
        decoding = self.picture / views + self.view
        device = self.device / 2 if job.stage is TRAIN else self.device
        return min(device, self.workers / decoding) if self.workers else 1 / (1 / device + decoding)


def decoders(path: Path | None = None) -> int:
    """Number of decoding processes in a GPU job: one less than the threads for `features` in a profile (default: Slurm's)."""
    return int(io.read_yaml(path or profile())["set-threads"]["features"]) - 1


def image_note(rate: ImageRate | None, images_per_second: float | None, where: str) -> str | None:
    """How fast images are; None if that is unknown. images_per_second: given by the user, instead of the rate."""
    if images_per_second:
        return f"Images: {images_per_second:,.0f} per second (--images-per-second)."
    if rate is None:
        return None
    decoding = f"decodes {1 / rate.picture:,.0f} images or crops {1 / rate.view:,.0f} views per second"
    if not rate.workers:
        return f"Images: {rate.device:,.1f} per second through {rate.model} on {where}, by the process that also {decoding}."
    return (
        f"Images: {rate.device:,.1f} per second through {rate.model} on {where}; each of {rate.workers} processes (--workers) "
        f"{decoding}; the slower of the two counts."
    )
