"""Images a second through decoding and image tower, from what `python -m cocoop bench --json` measured of both."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.planning.cost.groups import PROFILE
from cocoop.planning.job import Job, Views


@dataclass(frozen=True)
class ImageRate:
    """device: images a second through the tower; picture, view: seconds of one process to decode a picture, and to cut a view
    from it; workers: processes that do so at a time, 0 for the one that also runs the tower."""

    device: float
    picture: float
    view: float
    workers: int

    @classmethod
    def measured(cls, images: Mapping[str, Any], precision: str, workers: int) -> "ImageRate":
        """images: the bench's entry of this name; precision: of its rows, the first of them where this one is not there."""
        rates = {row["precision"]: row["images_per_second"] for row in images["tower"]}
        decoding = images["decoding"]
        device = rates.get(precision, next(iter(rates.values())))
        return cls(device, decoding["picture_seconds"], decoding["view_seconds"], workers)

    def of(self, job: Job) -> float:
        """Of a job; a picture with several cached views is decoded once, and a training on live images also goes backward.

        The backward pass through frozen weights costs about as much as the forward pass.
        """
        views = job.about.per_image if isinstance(job.about, Views) else 1
        decoding = self.picture / views + self.view
        device = self.device / 2 if job.stage == "train" else self.device
        return min(device, self.workers / decoding) if self.workers else 1 / (1 / device + decoding)


def decoders(profile: Path = PROFILE) -> int:
    """Processes that decode images in a GPU job: the profile's threads of `features`, less one."""
    return int(io.read_yaml(profile)["set-threads"]["features"]) - 1
