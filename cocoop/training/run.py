"""The `train` stage: reads views and the text tower, writes learned tensors and history, and continues after interruptions."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocoop import io, methods, provenance
from cocoop.device import card, peak_gpu_mb, peak_mb, seeded
from cocoop.errors import UserError
from cocoop.images.cached import Cached, CachedLocal
from cocoop.images.inputs import Source, TrainingFiles, TrainingImages, image_side
from cocoop.images.loading import training_images
from cocoop.methods.base import FewShot, Method, Task
from cocoop.run import Run
from cocoop.text import descriptions, text_encoder
from cocoop.training import live
from cocoop.training.blocks import Block, blocks_of, made_of, parts_of
from cocoop.training.checkpoint import Keeper, resume
from cocoop.training.loop import Progress, Row, Trainer, autocast
from cocoop.training.schedule import Schedule

logger = logging.getLogger(__name__)
LEARNED = "learned"
COLUMNS = ("seed", "epoch", "lr", "loss", "accuracy")  # of history.csv; the terms of a loss follow


def train(
    run: Run,
    files: TrainingFiles,
    out: Path,
    device: str,
    budget_mb: int,
    states_mb: int = 0,
    *,
    tensorboard: bool = False,
) -> None:
    """Trains the seeds of a run and writes learned.safetensors, history.csv and cost.json to the folder `out`.

    budget_mb: memory for the text tower's activations; states_mb: for states of the image tower's frozen layers;
    tensorboard: whether to write live curves, too.
    """
    start = time.perf_counter()
    if not run.trainable:
        raise UserError(f"{run.variant} learns nothing: there is no training; evaluate it.")
    exact = run.on(device)
    text = text_encoder.load(files.text_tower, exact.backbone.settings, device, budget_mb)
    whole = image_side(exact, text.fingerprint, device)
    blocks = blocks_of(exact, lambda own: training_images(own, files, text, whole))
    classnames, code = blocks[0][1].classnames, provenance.code_of(*files.views, files.validation)
    described = descriptions.of(run.descriptions, files.descriptions, classnames)
    prompts = described or run.templates
    task = Task(text, run.seeds, classnames, prompts, run.template or "", whole, run.dataset)
    tensors: dict[str, Tensor] = {}
    history: list[Row] = []
    earlier, part_start = 0.0, start
    for part in parts(blocks, task, out, states_mb, tensorboard):
        method, done, before = part.trained(part_start)
        tensors |= method.learned()
        history += done.history
        earlier, part_start = earlier + before, time.perf_counter()
    write_history(out / "history.csv", history)
    metadata = {"kind": LEARNED, "run": run.to_dict(), "precision": exact.backbone.precision}
    metadata |= {"classnames": classnames, "made": made_of(exact, blocks), "code": code}
    io.write_tensors(out / "learned.safetensors", tensors, metadata)
    write_cost(out / "cost.json", run, device, start - earlier, text.about)


@dataclass(frozen=True)
class Part:
    """Seeds that train in one batch: all seeds of a run, or one of them."""

    run: Run
    images: TrainingImages
    task: Task
    checkpoint: Path
    states_mb: int = 0
    tensorboard: bool = False

    def trained(self, start: float) -> tuple[Method, Progress, float]:
        """The trained method, its progress, and the seconds of earlier attempts; start: on time.perf_counter's clock."""
        run, images = self.run, self.images
        with seeded(self.task.text.device, "start", run.seeds), self.precise():
            method = methods.build(run, self.task)
        done = resume(method, self.checkpoint, self.fingerprint())
        before = done.seconds
        if not done.epochs:
            with seeded(self.task.text.device, "fit", run.seeds):
                if type(method).fit is not Method.fit:  # else, local features would be read for nothing
                    method.fit(few_shot(images))
        if run.training is None:
            return method, done, before
        with self.precise():
            classifier = method.for_classes(images.classnames)
        where = f"train {run.variant} on {run.dataset}"
        images = replace(images, source=self.source(method))
        trainer = Trainer(method, classifier, images, run.training, run.backbone.precision, where=where)
        if done.epochs:
            logger.info("continuing after %d of %d epochs", done.epochs, trainer.schedule.epochs)
        epochs = trainer.schedule.epochs
        keeper = Keeper(method, self.checkpoint, self.fingerprint(), epochs, start - before)
        with self.curves(done) as follow:

            def after_epoch(now: Progress) -> None:
                keeper(now)
                follow(now)

            return method, trainer.run(done, after_epoch), before

    def curves(self, done: Progress) -> AbstractContextManager[Any]:
        """Live curves if they are wanted."""
        if not self.tensorboard:
            return nullcontext(lambda now: None)
        return live.curves(self.checkpoint.parent, self.run.seeds, done)

    def source(self, method: Method) -> Source:
        """The images, or states of the frozen layers of the image tower."""
        if not method.image_layer:
            return self.images.source
        from cocoop.images import states

        training, source = self.run.training, self.images.source
        assert training is not None and isinstance(source, states.Live)  # inputs: images
        epochs = Schedule(training, source.images).epochs
        return states.cached(source, method.encoder, method.image_layer, epochs, self.states_mb)

    def precise(self):
        """Computes constant text features in the same way as those of a step."""
        return autocast(self.run.backbone.precision, self.task.text.device)

    def fingerprint(self) -> str:
        """Digest of everything that affects the training's numbers."""
        code = provenance.code(*provenance.NUMERIC, "methods")
        computed_on = provenance.computed_on(str(self.task.text.device))
        return io.sha256_text(io.canonical_json([self.run.to_dict(), self.images.made, code, computed_on]))


def parts(
    blocks: Sequence[Block], task: Task, out: Path, states_mb: int = 0, tensorboard: bool = False
) -> Iterator[Part]:
    """All seeds at once; or one after another for a method that is not `stacked`, or if their numbers of images differ."""
    together = blocks[0][0].stacked and len(blocks) == 1
    for part in parts_of(blocks, task, together):
        name = "checkpoint" if together else f"checkpoint_seed{part[0].seeds[0]}"
        yield Part(*part, out / f"{name}.safetensors", states_mb, tensorboard)


def few_shot(images: TrainingImages) -> FewShot:
    """All training images at once."""
    features = images.frozen.features if isinstance(images.frozen, Cached | CachedLocal) else None
    return FewShot(features, images.labels, *(images.validation or (None, None)))


def same_precision(run: Run, metadata: Mapping[str, Any], device: str, path: Path) -> None:
    """Raises a UserError if a file of learned tensors was trained in another precision than this job would compute in."""
    now = run.backbone.on(device).precision
    if (then := metadata.get("precision", now)) != now:
        raise UserError(
            f"{path}: was trained in {then}, but with precision auto this job on {device} computes in {now}; test it on the "
            f"kind of device it was trained on, or set the precision (precision: {then}) and train it again."
        )


def write_cost(path: Path, run: Run, device: str, start: float, about: Mapping[str, Any]) -> None:
    """Writes the cost of a job: seconds since `start` (time.perf_counter), memory, the GPU, the day (UTC) on which it ended,
    and facts about the backbone (`TextEncoder`).
    """
    on = torch.device(device)
    cost: dict[str, Any] = {
        "seconds": time.perf_counter() - start,
        "peak_gpu_mb": peak_gpu_mb(on),
        "peak_mb": peak_mb(),
        "card": card(on),
        "day": datetime.now(UTC).date().isoformat(),
        "precision": run.backbone.on(device).precision,
        "image_encoder": about.get("image_encoder"),
    }
    weights = {"weights": about["weights"]} if about.get("weights") else {}
    cost |= {"provenance": provenance.describe(device) | weights}
    io.write_json(path, {"schema": 1, "kind": "cost", **cost})


def write_history(path: Path, history: list[Row]) -> None:
    """Writes one line per seed and epoch: learning rate, mean loss and accuracy over the epoch's batches, and the terms of the
    loss if there are several.
    """
    terms = {name for row in history for name in row} - set(COLUMNS)
    columns = [*COLUMNS, *sorted(terms)]  # not in the order of a row: a checkpoint sorts its keys
    rows = sorted(history, key=lambda row: (row["seed"], row["epoch"]))
    lines = [",".join(repr(row[column]) for column in columns) for row in rows]
    io.write_text(path, "\n".join([",".join(columns), *lines]) + "\n")
