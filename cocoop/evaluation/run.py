"""The `evaluate` stage: learned tensors and test features in; metrics, predictions and cost out."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cocoop import io, methods, provenance
from cocoop.device import peak_gpu_mb, peak_mb
from cocoop.errors import UserError
from cocoop.evaluation.counts import tally
from cocoop.evaluation.predict import most_at_once, predict
from cocoop.images import test_images as images
from cocoop.images.sources import ImageFiles
from cocoop.images.train_images import ALIKE, made_with
from cocoop.manifest import Manifest
from cocoop.methods.base import Classifier, Method
from cocoop.splits import class_subset
from cocoop.text import distinguish
from cocoop.text import text_encoder as text
from cocoop.training.loop import autocast
from cocoop.training.run import LEARNED

if TYPE_CHECKING:
    from cocoop.backbone.model import Backbone

logger = logging.getLogger(__name__)


def evaluate(
    settings: Mapping[str, Any],
    target: str,
    subsets: Sequence[str],
    template: str,
    text_tower: Path,
    features: Path | None,
    learned: Path | None,
    out: Path,
    device: str,
    budget_mb: int,
    manifest: Path | None = None,
    files: ImageFiles | None = None,
) -> None:
    """Tests a block on subsets of `target` and writes metrics.json, predictions.safetensors and cost.json into `out`.

    template: the target's hand-crafted prompt; learned: the block's tensors, None for an untrained variant; manifest: the
    target's as it is now, from which its features, and tensors learned on it, must have been made; files: where the target's
    images are, for a method that takes images instead of `features`.
    """
    start = time.perf_counter()
    side = text.load(text_tower, settings["backbone"], device, budget_mb)
    whole = _image_side(settings, side, features, files)
    method, trained_on = _method(settings, side, template, learned, whole)
    alike = {
        key: trained_on[key] for key in ALIKE if trained_on and (key != "manifest" or target == settings["dataset"])
    }
    remarks = {settings["dataset"]: trained_on.get("notes", ())}
    if manifest:
        listing = _listed(manifest, target, alike.get("manifest"), learned)
        alike |= {"manifest": listing.fingerprint}
        remarks[target] = listing.notes
    expect = {"dataset": target, **made_with(settings, side.fingerprint), **alike}
    tested = images.live(files, expect, whole) if whole else images.cached(features, expect, side)
    names, truth, records, kept = tested.classnames, tested.truth, [], {}
    notes = _notes(remarks, settings["backbone"], side, names, template, target)
    for subset in subsets:
        labels = torch.tensor(class_subset(range(len(names)), subset), dtype=torch.long)
        if not len(labels):
            raise UserError(f"dataset {target!r}: subset {subset!r} has no class ({len(names)} in all).")
        index = torch.isin(truth, labels).nonzero()[:, 0]
        if not len(index):
            raise UserError(f"dataset {target!r}: subset {subset!r} has no test image.")
        where = f"evaluate {settings['variant']} on {target}/{subset}"
        classifier = _classifier(
            method, [names[label] for label in labels], f"{learned}: {where}" if learned else where
        )
        runs, precision = len(method.seeds), settings["backbone"]["precision"]
        batches = tested.batches(index, most_at_once(runs, len(labels), side.embed_dim, budget_mb))
        predicted, confidence = predict(classifier, batches, len(index), runs, precision, where)
        kept |= {f"{subset}.index": index.int(), f"{subset}.labels": truth[index].int()}
        for i, seed in enumerate(method.seeds):
            guess = labels[predicted[i]]
            kept |= {f"seed{seed}.{subset}.predicted": guess.int(), f"seed{seed}.{subset}.confidence": confidence[i]}
            run = {key: settings[key] for key in ("dataset", "subset", "variant", "method", "shots")}
            counts = tally(truth[index].tolist(), guess.tolist(), labels.tolist(), names)
            records.append(
                {
                    "backbone": settings["backbone"]["name"],
                    **run,
                    "seed": seed,
                    "target": target,
                    "target_subset": subset,
                    **counts,
                }
            )
    _write(out, settings, method, records, kept, notes)
    cost = {"seconds": time.perf_counter() - start, "peak_gpu_mb": peak_gpu_mb(side.device), "peak_mb": peak_mb()}
    cost |= {"precision": settings["backbone"]["precision"], "provenance": provenance.describe(device)}
    io.write_json(out / "cost.json", {"schema": 1, "kind": "cost", **cost})


def _image_side(
    settings: Mapping[str, Any], side: text.TextEncoder, features: Path | None, files: ImageFiles | None
) -> "Backbone | None":
    """The whole backbone, for a method that takes images."""
    if settings["inputs"] == "features":
        if features is None:
            raise UserError(f"{settings['variant']} takes image features: give --features.")
        return None
    if files is None:
        raise UserError(f"{settings['variant']} takes images: give --manifest and --root instead of --features.")
    from cocoop.images.live import image_side

    return image_side(settings, side)


def _method(
    settings: Mapping[str, Any],
    side: text.TextEncoder,
    template: str,
    learned: Path | None,
    whole: "Backbone | None",
) -> tuple[Method, dict[str, Any]]:
    """The method as it was trained, and what its file says of that; nothing for an untrained one."""
    if learned is None:
        return methods.build(settings, side, template, (), whole), {}
    tensors, metadata = io.read_tensors(learned, LEARNED)
    if metadata["settings"] != settings:
        differ = sorted(k for k in settings if metadata["settings"].get(k) != settings[k])
        raise UserError(f"{learned}: was trained with other settings ({', '.join(differ) or 'keys'}); train it again.")
    method = methods.build(settings, side, template, metadata["classnames"], whole)
    method.load_learned({name: tensor.to(side.device) for name, tensor in tensors.items()}, str(learned))
    return method, metadata


def _listed(manifest: Path, target: str, trained_on: str | None, learned: Path | None) -> Manifest:
    """The target's manifest; trained_on: fingerprint of the one its training images were drawn from, if they were."""
    now = Manifest.load(manifest)
    if now.dataset != target:
        raise UserError(f"{manifest}: lists dataset {now.dataset!r}, but this run tests on {target!r}.")
    if trained_on not in (None, now.fingerprint):
        raise UserError(f"{learned}: was trained on images of another manifest than {manifest}; train it again.")
    return now


def _notes(
    remarks: Mapping[str, Sequence[str]],
    backbone: Mapping[str, Any],
    side: text.TextEncoder,
    classnames: Sequence[str],
    template: str,
    target: str,
) -> list[str]:
    """What a reader of the numbers must know, sorted, logged too. remarks: the notes of manifests by their datasets."""
    notes = {f"{dataset}: {note}" for dataset, found in remarks.items() for note in found}
    with autocast(backbone["precision"], side.device):
        notes |= set(distinguish.warnings(side, classnames, template, backbone["name"], target))
    for note in sorted(notes):
        logger.warning("%s", note)
    return sorted(notes)


def _classifier(method: Method, classnames: Sequence[str], where: str) -> Classifier:
    try:
        return method.for_classes(classnames)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _write(
    out: Path,
    settings: Mapping[str, Any],
    method: Method,
    records: list[dict],
    kept: dict[str, torch.Tensor],
    notes: list[str],
) -> None:
    shapes = method.shapes()
    sizes = {name: torch.Size(shape).numel() for name, shape in shapes.items()}
    io.write_tensors(out / "predictions.safetensors", kept, {"kind": "predictions", "settings": settings})
    io.write_json(
        out / "metrics.json",
        {
            "schema": 1,
            "kind": "metrics",
            "settings": settings,
            "variant": {"name": settings["variant"], "label": settings["label"], "method": settings["method"]},
            "parameters": {
                "trained": sum(sizes.values()),
                "without_biases": sum(size for name, size in sizes.items() if not name.endswith("bias")),
                "tensors": shapes,
            },
            "records": records,
            "notes": notes,
        },
    )
