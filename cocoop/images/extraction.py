"""Encodes many images while others are decoded. Parts on disk allow a stopped job to continue, and one file combines them.

An image's index determines its batch, so neither workers nor interruptions change any byte of the result.
"""

import logging
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from cocoop import io, progress
from cocoop.backbone.local import local_encoder
from cocoop.backbone.model import Backbone
from cocoop.errors import UserError
from cocoop.images import feature_file
from cocoop.images.decoding import Decoder, Task, on_device
from cocoop.images.feature_file import shown
from cocoop.images.pace import Pace

logger = logging.getLogger(__name__)
BATCH_SIZE = 64
PART_ROWS = 1024
PART_KIND = "features part"


@dataclass(frozen=True)
class Job:
    """The work for one file: tasks with V views each (1 without keys), split into batches and parts at fixed indices.

    metadata: metadata of the finished file; together with the tasks, it determines whether parts of an earlier attempt are valid.
    local: whether to encode local features, too; they are many, so they are stored in half precision.
    """

    backbone: Backbone
    tasks: Sequence[Task]
    out: Path
    metadata: Mapping[str, Any]
    title: str
    unit: str
    batch_size: int = BATCH_SIZE
    workers: int = 0
    local: bool = False

    @cached_property
    def encode(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """Normalised pixels (B, 3, H, W) to features (B, E), or (B, 1 + L, E) in half precision."""
        if not self.local:
            return self.backbone.encode_images
        encoder = local_encoder(self.backbone)
        return lambda pixels: encoder(pixels).half()

    @property
    def views(self) -> int:
        """V, the number of views per image."""
        return max(1, len(self.tasks[0].keys))

    @property
    def folder(self) -> Path:
        """The folder of the parts until all are complete."""
        return self.out.with_name(f"{self.out.name}.parts")

    @property
    def group(self) -> int:
        """Number of images decoded for one batch."""
        return max(1, self.batch_size // self.views)

    @cached_property
    def parts(self) -> list[range]:
        """Task indices of each part: whole batches, about PART_ROWS crops."""
        step = self.group * max(1, PART_ROWS // (self.group * self.views))
        return [range(start, min(start + step, len(self.tasks))) for start in range(0, len(self.tasks), step)]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of everything that determines the parts."""
        tasks = [[str(task.path), *task.keys] for task in self.tasks]
        return io.sha256_text(io.canonical_json([dict(self.metadata), tasks, self.batch_size, PART_ROWS]))

    def part_path(self, part: range) -> Path:
        return self.folder / f"{part.start:09d}.safetensors"


def run(job: Job, labels: Mapping[str, np.ndarray], spans: Mapping[str, range], flat: bool) -> None:
    """Encodes missing parts and writes the file.

    labels: int64 arrays by tensor name.
    spans: the tasks of each tensor of features.
    flat: whether features have shape (N, ...) instead of (V, N, ...).
    """
    ready = _usable_parts(job)
    todo = [part for part in job.parts if part not in ready]
    with progress.bar(len(job.tasks) * job.views, job.title, job.unit, initial=sum(map(len, ready)) * job.views) as bar:
        for part, features in _encode(job, todo, bar):
            metadata = {"kind": PART_KIND, "job": job.fingerprint, "made": dict(job.metadata)}
            io.write_tensors(job.part_path(part), {"features": features}, metadata)
    image = io.read_tensors(job.part_path(job.parts[0]), PART_KIND)[0]["features"].shape[2:]  # (E) or (1 + L, E)
    shapes: dict[str, tuple[int, ...]] = {name: (len(span), *image) for name, span in spans.items()}
    if not flat:
        shapes = {name: (job.views, *shape) for name, shape in shapes.items()}
    whole = job.folder / "whole.safetensors"
    feature_file.write(whole, labels, shapes, _gathered(job, spans), job.metadata, "F16" if job.local else "F32")
    os.replace(whole, job.out)
    shutil.rmtree(job.folder)


def _usable_parts(job: Job) -> list[range]:
    """Parts of an earlier attempt at the same job; deletes all other files in the folder."""
    ready, reasons = [], set()
    for part in job.parts:
        try:
            _, metadata = io.read_tensors(job.part_path(part), PART_KIND)
        except UserError:
            continue
        if metadata["job"] == job.fingerprint:
            ready.append(part)
        else:
            reasons.add(_what_differs(metadata.get("made", {}), job.metadata))
    keep = {job.part_path(part) for part in ready}
    stale = [path for path in job.folder.glob("*") if path not in keep]
    for path in stale:
        path.unlink()
    if stale:
        why = "; ".join(sorted(reasons)) or "incomplete or corrupt"
        text = "%s: deleted %d file(s) of an earlier attempt that cannot be reused (%s)"
        logger.info(text, job.folder, len(stale), why)
    if ready:
        logger.info("%s: continuing after %d of %d parts", job.folder, len(ready), len(job.parts))
    return ready


def _what_differs(made: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The differences between the metadata of a part and of this job: `device A, now B`."""
    before, after = ({**facts, **facts.get("computed_on", {})} for facts in (made, now))
    values = [(name, before.get(name), value) for name, value in after.items() if name != "computed_on"]
    said = [
        name.replace("_", " ") + (f" {shown(old)}, now {shown(new)}" if isinstance(new, str | int) else "")
        for name, old, new in values
        if io.canonical_json(old) != io.canonical_json(new)
    ]
    return "; ".join(said) or "different images, views or batches"


def _encode(job: Job, parts: Sequence[range], bar: tqdm) -> Iterator[tuple[range, torch.Tensor]]:
    """Features (n, V, ...) of each part's n tasks.

    On a GPU, a part is copied and yielded when the next one's work has been launched, so the GPU does not wait for its file.
    """
    groups = [job.tasks[at : min(at + job.group, part.stop)] for part in parts for at in part[:: job.group]]
    decoder = Decoder(job.backbone.preprocessing, job.workers, str(job.out))
    batches, pace = decoder.crops(groups), Pace(decoder)
    sent: deque[tuple[range, Callable[[], torch.Tensor]]] = deque()
    for part in parts:
        encoded = []
        for start in part[:: job.group]:
            with pace.waiting():
                crops = next(batches)  # (tasks of the batch * V, 3, H, W) uint8
            pieces = range(0, len(crops), job.batch_size)
            encoded += [_forward(job, crops[at : at + job.batch_size]) for at in pieces]
            bar.set_postfix_str(f"limited by {pace.limit}", refresh=False)
            bar.update(min(job.group, part.stop - start) * job.views)
        sent.append((part, _sent(torch.cat(encoded))))
        if len(sent) > (job.backbone.device.type == "cuda"):
            yield _checked(job, *sent.popleft())
    for last in sent:
        yield _checked(job, *last)


def _forward(job: Job, crops: np.ndarray) -> torch.Tensor:
    return job.encode(job.backbone.preprocessing.normalise(on_device(crops, job.backbone.device)))


def _sent(features: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Starts the copy to the CPU's memory; the result is a function that waits for it."""
    copy = features.to("cpu", non_blocking=True)
    if features.device.type != "cuda":
        return lambda: copy
    done = torch.cuda.Event()
    done.record()

    def arrived() -> torch.Tensor:
        done.synchronize()
        return copy

    return arrived


def _checked(job: Job, part: range, copied: Callable[[], torch.Tensor]) -> tuple[range, torch.Tensor]:
    features = copied().unflatten(0, (len(part), job.views))
    _check_finite(job, part, features)
    return part, features


def _check_finite(job: Job, part: range, features: torch.Tensor) -> None:
    bad = (~features.isfinite()).flatten(1).any(1).nonzero()
    if len(bad):
        path, spec = job.tasks[part.start + int(bad[0])].path, job.backbone.spec
        advice = "check its weights" if spec.precision == "fp32" else f"try precision fp32 instead of {spec.precision}"
        raise UserError(
            f"{path}: backbone {spec.name!r} gives NaN or infinity for this image of dataset {job.metadata['dataset']!r}; "
            f"{advice}."
        )


def _gathered(job: Job, spans: Mapping[str, range]) -> Iterator[feature_file.Block]:
    """The rows of all parts, view by view, with their positions in (V, N, ...)."""
    for part in job.parts:
        features = io.read_tensors(job.part_path(part), PART_KIND)[0]["features"].numpy()  # (n, V, ...)
        for name, span in spans.items():
            first, last = max(part.start, span.start), min(part.stop, span.stop)
            for view in range(job.views) if first < last else ():
                rows = features[first - part.start : last - part.start, view]  # (rows, ...)
                yield feature_file.Block(name, (view * len(span) + first - span.start) * rows[0].size, rows)
