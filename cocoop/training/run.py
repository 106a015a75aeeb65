"""The `train` stage: views and text tower in, learned tensors and history out; continues where it was interrupted.

The checkpoint of the last epoch stays: when a group of jobs fails as a whole, its finished trainings are done again in no time.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cocoop import io, methods, provenance
from cocoop.config.specs import TrainingSpec
from cocoop.device import peak_gpu_mb, peak_mb
from cocoop.errors import UserError
from cocoop.images.sources import ImageFiles
from cocoop.images.train_images import Inputs, load_views
from cocoop.methods.base import Method
from cocoop.text import text_encoder as text
from cocoop.training.loop import Progress, fit

if TYPE_CHECKING:
    from cocoop.backbone.model import Backbone

logger = logging.getLogger(__name__)
LEARNED, CHECKPOINT = "learned", "checkpoint"
SECONDS_BETWEEN_CHECKPOINTS = 30.0


def train(
    settings: Mapping[str, Any],
    text_tower: Path,
    views: Sequence[Path],
    template: str,
    out: Path,
    device: str,
    budget_mb: int,
    files: ImageFiles | None = None,
) -> None:
    """Trains the runs of a block and writes learned.safetensors, history.csv and cost.json into the folder `out`.

    settings: as Plan.settings_of gives them; views: the files of its view ranges, in order; files: where the
    images are instead, for a method that takes images.
    """
    start = time.perf_counter()
    side = text.load(text_tower, settings["backbone"], device, budget_mb)
    (images, labels, classnames, made), whole = _inputs(settings, views, files, side)
    method = methods.build(settings, side, template, classnames, whole)
    if settings["training"] is None and not hasattr(method, "fit"):
        raise UserError(f"{settings['method']} learns nothing: there is no training; evaluate it.")
    code = provenance.code("backbone", "text", "images", "methods", "training")
    state = io.sha256_text(io.canonical_json([made, code, provenance.computed_on(str(side.device))]))
    done = resume(method, settings, out / "checkpoint.safetensors", state)
    if done.epochs:
        logger.info("continuing after %d of %d epochs", done.epochs, settings["training"]["epochs"])
    keeper = Keeper(method, settings, out / "checkpoint.safetensors", state, start - done.seconds)
    if settings["training"] is None:
        method.fit(images.features, labels)
    else:
        done = fit(
            method,
            method.for_classes(classnames),
            images,
            labels,
            TrainingSpec(**settings["training"]),
            precision=settings["backbone"]["precision"],
            done=done,
            after_epoch=keeper,
            where=f"train {settings['variant']} on {settings['dataset']}",
        )
    write_history(out / "history.csv", done)
    metadata = {"kind": LEARNED, "settings": settings, "classnames": classnames, **made}
    io.write_tensors(out / "learned.safetensors", method.learned(), metadata)
    cost = {
        "seconds": time.perf_counter() - keeper.start,
        "peak_gpu_mb": peak_gpu_mb(side.device),
        "peak_mb": peak_mb(),
    }
    cost |= {"precision": settings["backbone"]["precision"], "provenance": provenance.describe(device)}
    io.write_json(out / "cost.json", {"schema": 1, "kind": "cost", **cost})


def _inputs(
    settings: Mapping[str, Any], views: Sequence[Path], files: ImageFiles | None, side: text.TextEncoder
) -> tuple[Inputs, "Backbone | None"]:
    """What the run learns from, and the whole backbone where its method takes images."""
    if settings["inputs"] == "features":
        if not views:
            raise UserError(f"{settings['variant']} takes image features: give --views.")
        return load_views(settings, views, side.fingerprint, side.device), None
    if files is None:
        raise UserError(
            f"{settings['variant']} takes images: give --manifest, --fewshot and --root instead of --views."
        )
    from cocoop.images.live import image_side, load_live

    whole = image_side(settings, side)
    return load_live(settings, files, whole), whole


class Keeper:
    """Writes a checkpoint after an epoch when the last one is old enough, and after the last epoch.

    start: when the training began on the clock of `time.perf_counter`, with the time of earlier attempts taken off.
    """

    def __init__(
        self, method: Method, settings: Mapping[str, Any], path: Path, fingerprint: str, start: float | None = None
    ) -> None:
        self.method, self.path = method, path
        self.metadata = {"kind": CHECKPOINT, "settings": settings, "fingerprint": fingerprint}
        self.epochs = (settings.get("training") or {}).get("epochs")
        self.start = time.perf_counter() if start is None else start
        self.written = time.monotonic()

    def __call__(self, done: Progress) -> None:
        done.seconds = time.perf_counter() - self.start
        if done.epochs != self.epochs and time.monotonic() - self.written < SECONDS_BETWEEN_CHECKPOINTS:
            return
        tensors = {f"parameter.{name}": tensor for name, tensor in self.method.named_parameters()}
        tensors |= {f"momentum.{name}": tensor for name, tensor in done.momentum.items()}
        state = {"epochs": done.epochs, "scaler": done.scaler, "history": done.history, "seconds": done.seconds}
        io.write_tensors(self.path, tensors, self.metadata | state)
        self.written = time.monotonic()


@torch.no_grad()
def resume(method: Method, settings: Mapping[str, Any], path: Path, fingerprint: str) -> Progress:
    """The state of an interrupted training of the same settings and views; a fresh one if there is none."""
    if not path.exists():
        return Progress()
    try:
        tensors, metadata = io.read_tensors(path, CHECKPOINT)
    except UserError:
        return Progress()
    if metadata["fingerprint"] != fingerprint:
        return Progress()
    for name, parameter in method.named_parameters():
        parameter.copy_(tensors[f"parameter.{name}"])
    momentum = {name.removeprefix("momentum."): t for name, t in tensors.items() if name.startswith("momentum.")}
    history = [tuple(row) for row in metadata["history"]]
    return Progress(metadata["epochs"], momentum, metadata["scaler"], history, metadata["seconds"])


def write_history(path: Path, done: Progress) -> None:
    """One line per seed and epoch: learning rate in force, mean loss and accuracy over the epoch's batches."""
    rows = [f"{seed},{epoch},{lr!r},{loss!r},{accuracy!r}" for seed, epoch, lr, loss, accuracy in sorted(done.history)]
    io.write_text(path, "\n".join(["seed,epoch,lr,loss,accuracy", *rows]) + "\n")
