"""The seconds of a job by phase, and the time of many jobs on several devices."""

from collections.abc import Iterable, Sequence
from heapq import heapify, heapreplace
from typing import NamedTuple, Protocol

from cocoop.planning.cost import floor
from cocoop.planning.cost.tokens import Counter
from cocoop.planning.cost.work import Estimator
from cocoop.planning.job import Job


class Speed(Protocol):
    """How fast a device is. Seconds are None if they are unknown.

    Attributes:
        peak: operations a second; None if unknown.
        start: seconds to start a job.
    """

    peak: float | None
    start: float

    def image_seconds(self, estimator: Estimator, job: Job) -> float | None:
        """In the image encoder and the decoding of images."""

    def text_seconds(self, estimator: Estimator, job: Job, side: str = "fast") -> float | None:
        """In the text encoder, with the starts of operations. side: fast or literal."""

    def launch_seconds(self, estimator: Estimator, job: Job) -> float | None:
        """Of these, to start the operations of training steps."""

    def notes(self) -> list[str]:
        """What the seconds assume."""


class Phases(NamedTuple):
    """Seconds of a job, or of many one after the other; None if unknown.

    Attributes:
        floor: all operations at the peak of the device.
        images: decoding, cropping and encoding images.
        text: computing in the text encoder.
        launches: starting the operations of training steps.
        starts: starting the jobs.
        literal: in the text encoder with the authors' code, with launches.
    """

    floor: float | None = 0.0
    images: float | None = 0.0
    text: float | None = 0.0
    launches: float | None = 0.0
    starts: float | None = 0.0
    literal: float | None = 0.0

    @property
    def total(self) -> float | None:
        """All phases, one after the other."""
        return added((self.images, self.text, self.launches, self.starts))


def of(job: Job, speed: Speed, counter: Counter) -> Phases:
    """The phases of a GPU job whose work is known."""
    estimator = counter.estimator
    text, launches = speed.text_seconds(estimator, job), speed.launch_seconds(estimator, job)
    count = floor.operations(job, counter)
    return Phases(
        floor=count / speed.peak if count is not None and speed.peak else None,
        images=speed.image_seconds(estimator, job),
        text=text - launches if text is not None and launches is not None else None,
        launches=launches,
        starts=speed.start,
        literal=speed.text_seconds(estimator, job, "literal"),
    )


def total(parts: Iterable[Phases]) -> Phases:
    """The phases of all parts; a phase is unknown if one of its parts is."""
    return Phases(*(added(column) for column in zip(Phases(), *parts, strict=True)))


def added(seconds: Iterable[float | None]) -> float | None:
    """The sum; None if a part is."""
    result = 0.0
    for part in seconds:
        if part is None:
            return None
        result += part
    return result


def on(devices: int, seconds: Sequence[float | None]) -> float | None:
    """The time until all jobs are done if each device takes the longest job that is left; jobs do not wait for each other."""
    busy = [0.0] * devices
    heapify(busy)
    if any(part is None for part in seconds):
        return None
    for part in sorted((part for part in seconds if part is not None), reverse=True):
        heapreplace(busy, busy[0] + part)
    return max(busy)
