"""Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, ICML 2017): the `train` stage of its variants.

The logits of a trained run are divided by one number for each seed, which minimises the cross-entropy on the validation draw of
the classes trained on. Predicted classes stay as they are; their probabilities change.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cocoop import io, methods, provenance
from cocoop.device import seeded
from cocoop.errors import UserError
from cocoop.images import cached
from cocoop.images.inputs import ALIKE, TrainingFiles, TrainingImages, image_side
from cocoop.methods.base import Classifier, Method, Task
from cocoop.methods.class_head import UNSEEN
from cocoop.methods.shared_text import holding
from cocoop.run import Run
from cocoop.text import descriptions, text_encoder
from cocoop.text.text_encoder import TextEncoder
from cocoop.training.blocks import alike, blocks_of, made_of, parts_of
from cocoop.training.loop import autocast
from cocoop.training.run import LEARNED, same_precision, write_cost, write_history

TEMPERATURE = "temperature"  # the name of the tensor, after its seed
LEAST, MOST = 0.05, 20.0
PRECISE = 1e-6  # of the logarithm
IMAGES_AT_ONCE = 100


def fit(run: Run, files: TrainingFiles, out: Path, device: str, budget_mb: int) -> None:
    """Fits the temperature of a run's seeds and writes learned.safetensors, history.csv (empty) and cost.json to `out`.

    files.trained: the tensors of the same training without a temperature; None for a method that learns nothing.
    """
    start = time.perf_counter()
    exact = run.on(device)
    precision = exact.backbone.precision
    text = text_encoder.load(files.text_tower, exact.backbone.settings, device, budget_mb)
    whole = image_side(exact, text.fingerprint, device)
    blocks = blocks_of(exact, lambda own: validation_images(own, files, text, whole))
    classnames, made = blocks[0][1].classnames, made_of(exact, blocks)
    tensors, seconds = _trained(run, files.trained, made, device)
    code = provenance.code_of(*files.views, files.validation, files.trained)
    described = descriptions.of(run.descriptions, files.descriptions, classnames)
    task = Task(text, run.seeds, classnames, described or run.templates, run.template or "", whole, run.dataset)
    found: dict[int, float] = {}
    for part, own, of in parts_of(blocks, task, run.stacked and len(blocks) == 1 and alike(tensors, run.seeds)):
        with seeded(text.device, "start", part.seeds), autocast(precision, text.device):
            method = methods.build(part, of)
        method.load_learned(tensors, str(files.trained))
        logits = logits_of(method.eval(), own, precision, f"temperature of {run.variant} on {run.dataset}")
        pairs = zip(logits.cpu().double().numpy(), own.labels.cpu().numpy(), strict=True)
        found |= {seed: best(*pair) for seed, pair in zip(part.seeds, pairs, strict=True)}
    tensors |= {name_of(seed): torch.tensor(value) for seed, value in found.items()}
    made = made | {"notes": [*made["notes"], *_at_the_limit(run, found)]}
    metadata = {"kind": LEARNED, "run": run.to_dict(), "precision": precision}
    metadata |= {"classnames": classnames, "made": made, "code": code}
    io.write_tensors(out / "learned.safetensors", tensors, metadata)
    write_history(out / "history.csv", [])
    write_cost(out / "cost.json", run, device, start - seconds, text.about)


def name_of(seed: int) -> str:
    """The name of a seed's temperature in a file of learned tensors."""
    return f"seed{seed}.{TEMPERATURE}"


def temperatures(run: Run, tensors: dict[str, Tensor], seeds: tuple[int, ...], where: str) -> list[float]:
    """The temperature of each seed, 1 for a run without. Raises a UserError that names `where` for a missing one."""
    if run.temperature == "none":
        return [1.0] * len(seeds)
    missing = [seed for seed in seeds if name_of(seed) not in tensors]
    if missing:
        raise UserError(f"{where}: no temperature of seed {missing[0]}; train it again.")
    return [float(tensors[name_of(seed)]) for seed in seeds]


def scaled(classifier: Classifier, divisors: Sequence[float]) -> Classifier:
    """A classifier whose logits are divided by each seed's temperature."""

    def classify(inputs: Tensor) -> Tensor:
        logits = classifier(inputs).float()  # (S, B, C)
        return logits / logits.new_tensor(divisors)[:, None, None]

    return classify


def validation_images(run: Run, files: TrainingFiles, text: TextEncoder, whole) -> TrainingImages:
    """The validation draw of each seed, without augmentation, also for a run that selects on other images.

    Raises a UserError for a missing option, and Unequal if the seeds have different numbers of images.
    """
    if whole is not None:
        if not (files.manifest and files.root and files.fewshot):
            raise UserError(f"{run.variant} takes images; give --manifest, --fewshot and --root.")
        from cocoop.images.live import load_live

        return load_live(run, files, whole, "val")
    if files.validation is None:
        raise UserError(f"{run.variant} uses the validation draw; add --validation.")
    (features, labels), facts = cached.load_validation(run, files.validation, text.fingerprint, text.device)
    source = cached.Cached(features[:, None].to(text.dtype))
    return TrainingImages(source, labels, cached.names_of(run, facts), cached.made_of(run, [facts]))


@torch.no_grad()
def logits_of(method: Method, images: TrainingImages, precision: str, where: str) -> Tensor:
    """Logits (S, N, C) of images without augmentation. Raises a UserError if they are not finite."""
    number, seeds, device = images.source.images, len(method.seeds), method.text.device
    size = 1 if number == 0 else min(IMAGES_AT_ONCE, number)
    visit = torch.arange(number, device=device).expand(seeds, -1)
    with seeded(device, "evaluation", method.seeds), autocast(precision, device), holding():
        classifier = method.for_classes(images.classnames)
        batches = images.source.batches(0, visit, size, math.ceil(number / size))
        logits = torch.cat([classifier(batch.to(method.text.dtype)).float() for batch in batches], 1)
    if not torch.isfinite(logits).all():
        raise UserError(f"{where}: logits hold NaN or infinity; look at the features and the learned tensors.")
    return logits


def best(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature from LEAST to MOST with the lowest cross-entropy, from logits (N, C) and labels (N,).

    The cross-entropy is convex in the inverse temperature, so it has one minimum. Images of classes that the method knows nothing
    of (`UNSEEN`) do not count; 1 if there are no others.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    seen = logits[np.arange(len(labels)), labels] > UNSEEN
    logits, labels = logits[seen], labels[seen]
    if not len(labels):
        return 1.0

    def loss(logarithm: float) -> float:
        return float(-log_softmax(logits / math.exp(logarithm), axis=1)[np.arange(len(labels)), labels].mean())

    found = minimize_scalar(
        loss, bounds=(math.log(LEAST), math.log(MOST)), method="bounded", options={"xatol": PRECISE}
    )
    return math.exp(found.x)


def _trained(run: Run, path: Path | None, made: Mapping[str, Any], device: str) -> tuple[dict[str, Tensor], float]:
    """The tensors of the training, and its seconds; nothing for a method that learns nothing.

    made: how the validation images were made.
    """
    if path is None:
        return {}, 0.0
    tensors, metadata = io.read_tensors(path, LEARNED)
    trained = Run.from_dict(metadata["run"], f"{path}: run")
    if replace(trained, variant=run.variant) != replace(run, temperature="none"):
        raise UserError(f"{path}: was trained with other settings than {run.variant}; train it again.")
    same_precision(run, metadata, device, path)
    if differ := [key for key in ALIKE if metadata["made"][key] != made[key]]:
        raise UserError(f"{path}: its {differ[0]} differs from that of the validation images; train it again.")
    cost = path.with_name("cost.json")
    return tensors, io.read_json(cost, "cost")["seconds"] if cost.exists() else 0.0


def _at_the_limit(run: Run, found: dict[int, float]) -> Iterator[str]:
    """A note about temperatures at a limit, which happens if all validation images are classified right."""
    reached = [seed for seed, value in found.items() if not LEAST * 1.001 < value < MOST / 1.001]
    if reached:
        yield (
            f"the temperature of {run.variant} reached a limit ({LEAST:g} to {MOST:g}) with seed {', '.join(map(str, reached))}, "
            "because the few validation images say too little; its probabilities mean little"
        )
