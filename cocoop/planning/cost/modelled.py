"""Time of jobs on a device that was not measured: its operations at a share of its peak, and what it takes to start them."""

from cocoop.planning.cost import devices, floor
from cocoop.planning.cost.devices import Device
from cocoop.planning.cost.image_rate import ImageRate, image_note
from cocoop.planning.cost.tokens import Counter
from cocoop.planning.cost.work import Estimator
from cocoop.planning.job import Job


class Modelled:
    """Seconds of jobs on a device (`phases.Speed`); None for jobs whose operations are unknown.

    counter: of the plan's tokens.
    images_per_second: speed of decoding and encoding, instead of the model's.
    workers: decoding processes.
    """

    def __init__(
        self, device: Device, counter: Counter, images_per_second: float | None = None, workers: int = 0
    ) -> None:
        self.device, self.counter = device, counter
        self.images_per_second, self.workers = images_per_second, workers
        self.peak: float | None = device.peak
        self.start = device.assumed.start

    def image_seconds(self, estimator: Estimator, job: Job) -> float | None:
        """Seconds a GPU job spends on images; 0 for jobs without images."""
        work, size = estimator.work(job), estimator.backbone(job)
        if work is None or not work.images:
            return 0.0 if work else None
        if self.images_per_second:
            return work.images / self.images_per_second
        one = size.image_operations if size else None
        return work.images / self._rate(one).of(job) if one else None

    def text_seconds(self, estimator: Estimator, job: Job, side: str = "fast") -> float | None:
        """Seconds a GPU job spends in the text encoder, with launches; the authors' code (`literal`) is not modelled."""
        count, launches = floor.text_operations(job, self.counter), self.launch_seconds(estimator, job)
        if side != "fast" or count is None or launches is None:
            return None
        return launches + count / (self.device.peak * self.device.assumed.text)

    def launch_seconds(self, estimator: Estimator, job: Job) -> float | None:
        """Seconds that a training takes to start its operations, as if the device waited for them; 0 for other jobs."""
        work, size = estimator.work(job), estimator.backbone(job)
        if work is None or not work.steps:
            return 0.0 if work else None
        if size is None or size.text is None:
            return None
        return work.steps * devices.operations_of_a_step(size.text.layers) * self.device.assumed.launch

    def notes(self) -> list[str]:
        """That this is a model, and what it assumes."""
        device, assumed = self.device, self.device.assumed
        launches, decoding = devices.content()["launches"], devices.content()["decoding"]
        notes = [
            f"{device.title} is a model, not a measurement: {_rate(device.peak)} {device.precision}, of which images reach "
            f"{assumed.images:.0%} and text {assumed.text:.0%}; {launches['operations']} operations in a step "
            f"({launches['layers']} layers), {assumed.launch * 1e6:.0f} µs to start each; {assumed.start:.1f} s to start a job.",
            f"Sources: peak: {device.source}; shares and starts: {assumed.source}; operations in a step: {launches['source']}; "
            f"decoding: {decoding['source']}.",
            "The floor is all operations at the peak. Phases are added up, as if none waited for another. Measure your device with "
            "`python -m cocoop bench --json bench.json` and add --throughput bench.json.",
        ]
        for name, size in self.counter.estimator.backbones.items():
            rate = self._rate(size.image_operations, name) if size.image_operations else None
            if image := image_note(rate, self.images_per_second, device.title):
                notes.append(image)
        return notes

    def _rate(self, operations: int, model: str = "") -> ImageRate:
        decoding = devices.content()["decoding"]
        rate = self.device.peak * self.device.assumed.images / operations
        return ImageRate(rate, decoding["picture"], decoding["view"], self.workers, model)


def _rate(operations: float) -> str:
    """Operations per second in words: 989 TFLOP/s."""
    return f"{operations / 1e12:,.0f} TFLOP/s" if operations >= 1e13 else f"{operations / 1e9:,.0f} GFLOP/s"
