"""The `train` stage: views and text tower in, learned tensors and history out; continues where it was interrupted."""

import logging
import time
from pathlib import Path

from cocoop import io, methods, provenance
from cocoop.device import peak_gpu_mb, peak_mb
from cocoop.errors import UserError
from cocoop.images.inputs import TrainingFiles, image_side
from cocoop.images.loading import training_images
from cocoop.run import Run
from cocoop.text import text_encoder
from cocoop.training.checkpoint import Keeper, resume
from cocoop.training.loop import Progress, fit

logger = logging.getLogger(__name__)
LEARNED = "learned"


def train(run: Run, files: TrainingFiles, out: Path, device: str, budget_mb: int) -> None:
    """Trains the seeds of a run and writes learned.safetensors, history.csv and cost.json into the folder `out`.

    budget_mb: memory for the text tower's activations.
    """
    start = time.perf_counter()
    if not run.trainable:
        raise UserError(f"{run.variant} learns nothing: there is no training; evaluate it.")
    text = text_encoder.load(files.text_tower, run.backbone.settings, device, budget_mb)
    whole = image_side(run, text.fingerprint, device)
    images = training_images(run, files, text, whole)
    method = methods.build(run, text, (*run.templates, "")[0], images.classnames, whole)
    code = provenance.code("backbone", "text", "images", "methods", "training")
    computed_on = provenance.computed_on(str(text.device))
    fingerprint = io.sha256_text(io.canonical_json([run.to_dict(), images.made, code, computed_on]))
    done = resume(method, out / "checkpoint.safetensors", fingerprint)
    if run.training is None:
        method.fit(images.source.features, images.labels)
    else:
        if done.epochs:
            logger.info("continuing after %d of %d epochs", done.epochs, run.training.epochs)
        start -= done.seconds
        done = fit(
            method,
            method.for_classes(images.classnames),
            images.source,
            images.labels,
            run.training,
            precision=run.backbone.precision,
            done=done,
            after_epoch=Keeper(method, out / "checkpoint.safetensors", fingerprint, run.training.epochs, start),
            where=f"train {run.variant} on {run.dataset}",
        )
    write_history(out / "history.csv", done)
    metadata = {"kind": LEARNED, "run": run.to_dict(), "classnames": images.classnames, "made": images.made}
    io.write_tensors(out / "learned.safetensors", method.learned(), metadata)
    write_cost(out / "cost.json", run, device, start)


def write_cost(path: Path, run: Run, device: str, start: float) -> None:
    """Writes what a job took: seconds since `start` (time.perf_counter), and memory."""
    from torch import device as of

    cost = {"seconds": time.perf_counter() - start, "peak_gpu_mb": peak_gpu_mb(of(device)), "peak_mb": peak_mb()}
    cost |= {"precision": run.backbone.precision, "provenance": provenance.describe(device)}
    io.write_json(path, {"schema": 1, "kind": "cost", **cost})


def write_history(path: Path, done: Progress) -> None:
    """One line per seed and epoch: learning rate in force, mean loss and accuracy over the epoch's batches."""
    rows = [f"{seed},{epoch},{lr!r},{loss!r},{accuracy!r}" for seed, epoch, lr, loss, accuracy in sorted(done.history)]
    io.write_text(path, "\n".join(["seed,epoch,lr,loss,accuracy", *rows]) + "\n")
