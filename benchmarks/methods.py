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
from cocoop.bench.sides import GEOMETRY, class_names, sides
from cocoop.bench.timing import seconds
from cocoop.config import BackboneSpec, Registry
from cocoop.config.specs import VariantSpec
from cocoop.images.cached import Cached
from cocoop.images.inputs import TrainingImages
from cocoop.methods.base import Batch, Task
from cocoop.run import Run
from cocoop.text.text_encoder import TextEncoder
from cocoop.training.loop import Trainer
from cocoop.training.run import few_shot

SHOTS, SEED, REFERENCE, TEMPLATE = 16, 1, "coop", "a photo of a {}."
PLACES = 196  # L, of ViT-B/16
TOLERANCE = 1e-4  # relative difference of the two sides' losses
HEAD = ("method", "batch", "step ms", "of CoOp's", "literal / exact", "steps", "whole run s", "of CoOp's")


@dataclass
class Side:
    """A method with one of the text encoders.

    trainer, batch: of a training step; None for a method that does not learn by gradient.
    seconds: the time to build and fit the method.
    """

    trainer: Trainer | None
    batch: Batch | None
    seconds: float

    @property
    def steps(self) -> int:
        """Steps of a whole run."""
        return self.trainer.schedule.steps if self.trainer else 0

    def step(self) -> float:
        """The loss of a training step."""
        assert self.trainer is not None and self.batch is not None
        return sum(float(term) for term in self.trainer.step(self.batch)[0].values())


def run_of(spec: VariantSpec) -> Run:
    """A run of a variant without files."""
    return Run(
        backbone=BackboneSpec("random", "ViT-B-16", None), dataset="random", data="", subset="all", templates=(TEMPLATE,),
        descriptions=None, template=TEMPLATE, variant=spec.name, method=spec.method, implementation=spec.implementation,
        version=spec.version, code=spec.code, inputs=spec.inputs, stacked=spec.stacked, needs=spec.needs,
        params=dict(spec.params), training=spec.training, selection=spec.selection, views=0, shots=SHOTS, seeds=(SEED,),
    )  # fmt: skip


def data(run: Run, classes: int) -> TrainingImages:
    """Random features of SHOTS images per class, and of 4 images per class for a run that selects on validation images."""
    random, features_per_image = torch.Generator().manual_seed(SEED), 1 + PLACES * run.local

    def drawn(count: int) -> tuple[Tensor, Tensor]:
        shape = count * classes, features_per_image, GEOMETRY["output_dim"]
        features = F.normalize(torch.randn(1, *shape, generator=random), dim=-1)
        return features if run.local else features[:, :, 0], torch.arange(classes).repeat_interleave(count)[None]

    (features, labels), validation = drawn(SHOTS), drawn(4) if run.validation else None
    source = Cached(features[:, None])
    return TrainingImages(source, labels, tuple(class_names(classes)), {}, source, validation)


def side(run: Run, text: TextEncoder, images: TrainingImages) -> Side:
    """Builds a method and fits it."""
    start = time.perf_counter()
    method = methods.build(run, Task(text, run.seeds, images.classnames, run.templates, TEMPLATE))
    method.fit(few_shot(images))
    if run.training is None:
        return Side(None, None, time.perf_counter() - start)
    trainer = Trainer(method.train(), method.for_classes(images.classnames), images, run.training)
    order = torch.randperm(images.source.images, generator=torch.Generator().manual_seed(SEED))[None]
    size = run.training.batch_size
    x = next(images.source.batches(0, order, size, 1))
    return Side(trainer, Batch(x, images.labels[:, order[0, :size]], x), time.perf_counter() - start)


def main(names: Sequence[str], classes: int, repeats: int) -> None:
    texts, variants, built = sides("cpu", GEOMETRY), Registry().variants, {}
    for name in names:
        run = run_of(variants[name])
        images = data(run, classes)
        built[name] = {kind: side(run, text, images) for kind, text in texts.items()}
    stepping = [(name, kind) for name, of in built.items() for kind in of if of[kind].trainer]
    for name, of in built.items():
        if of["fast"].trainer:
            exact, literal = of["fast"].step(), of["literal"].step()  # also the warm-up
            if not abs(exact - literal) <= TOLERANCE * abs(literal):
                raise SystemExit(f"{name}: the exact loss is {exact}, the literal one {literal}")
    taken = [[seconds(built[name][kind].step, "cpu") for name, kind in stepping] for _ in range(repeats)]
    step = {key: median(times) for key, times in zip(stepping, zip(*taken, strict=True), strict=True)}
    of_coop, rows, whole = step[REFERENCE, "fast"], [], {}
    for name, of in built.items():
        fast, training = of["fast"], variants[name].training
        whole[name] = fast.seconds + fast.steps * step.get((name, "fast"), 0.0)
        cells = [None] * 4
        if training is not None:
            exact, literal = step[name, "fast"], step[name, "literal"]
            cells = [training.batch_size, exact * 1000, exact / of_coop, literal / exact]
        rows.append([name, *cells, fast.steps, whole[name], whole[name] / whole[REFERENCE]])
    print(f"{classes} classes, {SHOTS} shots, one seed, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(tabulate(rows, HEAD, "pipe", floatfmt=".3g", missingval="-"))


if __name__ == "__main__":
    registered = [name for name, spec in Registry().variants.items() if spec.inputs == "features" and spec.trainable]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=registered, choices=registered, metavar="VARIANT")
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    main(list(dict.fromkeys([REFERENCE, *options.methods])), options.classes, options.repeats)
