"""Measures every method that takes cached features: `python benchmarks/methods.py [--classes 50] [--methods coop kgcoop ...]`.

For each method, in one run on the same random features, with the geometry of ViT-B/16's text encoder and random weights:

- the time of a training step, and relative to CoOp's;
- the same step with the literal text encoder (77 tokens of every prompt), and its ratio to the exact one;
- the time of a whole run of 16 shots with the settings of the method's file, and relative to CoOp's: set-up and `fit`, which
  are measured, plus the number of its steps times the measured step.

Both encoders must agree on the loss. Steps of all methods alternate, so that a disturbance of the machine affects all of them.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch
import torch.nn.functional as F
from tabulate import tabulate
from torch import Tensor

from cocoop import methods
from cocoop.bench.sides import GEOMETRY, TextModel, class_names
from cocoop.config import BackboneSpec, Registry
from cocoop.config.specs import VariantSpec
from cocoop.images.cached import Cached
from cocoop.images.inputs import TrainingImages
from cocoop.methods.base import Batch, FewShot, Task
from cocoop.run import Run
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tokenizer import byte_pair
from cocoop.text.tower import TextTower
from cocoop.training.loop import Trainer

SHOTS, SEED, REFERENCE, TEMPLATE = 16, 1, "coop", "a photo of a {}."
BUDGET_MB = 16_000  # no recomputation in the backward pass of either side
TOLERANCE = 1e-4  # relative difference of the two sides' losses


@dataclass
class Side:
    """A method with one of the text encoders, ready to step. seconds: the time to build and fit it."""

    trainer: Trainer | None
    batch: Batch | None
    seconds: float

    def step(self) -> float:
        """The loss of a training step."""
        assert self.trainer is not None and self.batch is not None
        return sum(float(term) for term in self.trainer.step(self.batch)[0].values())


def run_of(spec: VariantSpec) -> Run:
    """A run of a variant without files."""
    return Run(
        backbone=BackboneSpec("random", "ViT-B-16", None), dataset="random", data="", subset="all", templates=(TEMPLATE,),
        descriptions=None, variant=spec.name, method=spec.method, implementation=spec.implementation, version=spec.version,
        code=spec.code, inputs=spec.inputs, stacked=spec.stacked, needs=spec.needs, params=dict(spec.params),
        training=spec.training, views=0, shots=SHOTS, seeds=(SEED,),
    )  # fmt: skip


def data(classes: int, width: int) -> tuple[FewShot, TrainingImages]:
    """Random features of SHOTS images per class, and of 4 images per class for validation."""
    random = torch.Generator().manual_seed(SEED)
    names = tuple(class_names(classes))

    def drawn(count: int) -> tuple[Tensor, Tensor]:
        features = F.normalize(torch.randn(1, count * classes, width, generator=random), dim=-1)
        return features, torch.arange(classes).repeat_interleave(count)[None]

    (x, y), (val_x, val_y) = drawn(SHOTS), drawn(4)
    source = Cached(x[:, None])
    return FewShot(x[:, None], y, val_x, val_y), TrainingImages(source, y, names, {}, source, (val_x, val_y))


def side(run: Run, text: TextEncoder, few_shot: FewShot, images: TrainingImages) -> Side:
    """Builds a method and fits it."""
    start = time.perf_counter()
    method = methods.build(run, Task(text, run.seeds, images.classnames, run.templates))
    method.fit(few_shot)
    if run.training is None:
        return Side(None, None, time.perf_counter() - start)
    trainer = Trainer(method.train(), method.for_classes(images.classnames), images, run.training)
    size = min(run.training.batch_size, images.source.images)
    order = torch.randperm(images.source.images, generator=torch.Generator().manual_seed(SEED))[None]
    x = next(images.source.batches(0, order, size, 1))
    return Side(trainer, Batch(x, images.labels[:, order[0, :size]], x), time.perf_counter() - start)


def main(names: Sequence[str], classes: int, repeats: int) -> None:
    model = TextModel(**GEOMETRY)
    tokenizer = byte_pair()
    assert tokenizer.sot is not None and tokenizer.eot is not None
    texts = {
        "exact": TextEncoder.fast(TextTower.from_open_clip(model, tokenizer.sot, tokenizer.eot), BUDGET_MB),
        "literal": TextEncoder.literal(model, tokenizer, BUDGET_MB),
    }
    few_shot, images = data(classes, texts["exact"].embed_dim)
    runs = {name: run_of(spec) for name, spec in Registry().variants.items() if name in names}
    sides = {
        (name, kind): side(run, text, few_shot, images) for name, run in runs.items() for kind, text in texts.items()
    }
    stepping = {key: one for key, one in sides.items() if one.trainer}
    for name in {name for name, _ in stepping}:
        exact, literal = (stepping[name, kind].step() for kind in texts)  # also the warm-up
        if not abs(exact - literal) <= TOLERANCE * abs(literal):
            raise SystemExit(f"{name}: the exact loss is {exact}, the literal one {literal}")
    found: dict[tuple[str, str], list[float]] = {key: [] for key in stepping}
    for _ in range(repeats):
        for key, one in stepping.items():
            start = time.perf_counter()
            one.step()
            found[key].append(time.perf_counter() - start)
    steps = {key: median(seconds) for key, seconds in found.items()}
    whole = {
        name: sides[name, "exact"].seconds + _steps(sides[name, "exact"]) * steps.get((name, "exact"), 0.0)
        for name in runs
    }
    rows = []
    for name, run in runs.items():
        exact, literal = (steps.get((name, kind)) for kind in texts)
        of_coop = [exact / steps[REFERENCE, "exact"], literal / exact] if exact and literal else [None, None]
        size = run.training.batch_size if run.training else None
        rows.append(
            [
                name,
                size,
                exact and exact * 1000,
                *of_coop,
                _steps(sides[name, "exact"]),
                whole[name],
                whole[name] / whole[REFERENCE],
            ]
        )
    head = ["method", "batch", "step ms", "of CoOp's", "literal / exact", "steps", "whole run s", "of CoOp's"]
    print(f"{classes} classes, {SHOTS} shots, one seed, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(tabulate(rows, head, "pipe", floatfmt=".3g", missingval="-"))


def _steps(one: Side) -> int:
    return one.trainer.schedule.steps if one.trainer else 0


if __name__ == "__main__":
    registered = [name for name, spec in Registry().variants.items() if spec.inputs == "features" and spec.trainable]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=registered, choices=registered, metavar="VARIANT")
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    main([REFERENCE, *options.methods], options.classes, options.repeats)
