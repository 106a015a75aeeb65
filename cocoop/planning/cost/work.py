"""The work of a job: images through the image encoder, prompts through the text encoder, bytes on disk.

A text pass sends one prompt (a class name in its context) forward through the text encoder; a training step counts it once,
although a backward pass follows. The counts agree with those derived from the reference's settings (tests/goldens/passes.json).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from statistics import fmean as mean
from typing import Any

from cocoop.config.draw import ALL_SHOTS
from cocoop.planning import Plan
from cocoop.planning.cost.sizes import FLOAT_BYTES, HALF_BYTES, BackboneSize, DatasetSize, backbone_size
from cocoop.planning.job import Job, Views
from cocoop.planning.stages import FEATURES
from cocoop.run import Evaluation, Run

PER_STEP, PER_IMAGE, NONE = "per_step", "per_image", "none"
N_PROMPTS = "n_prompts"  # the parameter of methods with several prompts per class
PREDICTION_BYTES = {False: 28, True: 40}  # of each image and seed: seven numbers, ten with those of the other half
# Kept of an image by each layer of a vision transformer for the backward pass, in states of the image (tokens x width). Measured
# with ViT-B/16 by cocoop/bench/memory.py, 12 images against 4: VPT 14.3, MMA 15.4, CLIP-LoRA 28.6.
STATES_A_LAYER = 14


@dataclass(frozen=True)
class Work:
    """The work of a job.

    Attributes:
        images: image passes.
        prompts: text passes.
        steps: training steps, each for all seeds.
        prompts_a_step: text passes per step.
        disk: bytes written.
    """

    images: int = 0
    prompts: int = 0
    steps: int = 0
    prompts_a_step: int = 0
    disk: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


class Estimator:
    """Estimates the work of a plan's jobs from the sizes of its datasets and backbones."""

    def __init__(self, plan: Plan, datasets: Mapping[str, DatasetSize]) -> None:
        self.plan, self.datasets = plan, datasets
        self.backbones = {name: backbone_size(spec) for name, spec in plan.backbones.items()}
        self._methods: dict[str, Mapping[str, Any]] = {}
        self._works: dict[tuple, Work | None] = {}

    def backbone(self, job: Job) -> BackboneSize | None:
        """The size of a job's backbone; None for a job without one."""
        return self.backbones.get(job.backbone or "")

    def kind(self, run: Run) -> str:
        """When the text encoder runs: per_step, per_image or none."""
        return self._method(run).get("prompts", PER_STEP)

    def _method(self, run: Run) -> Mapping[str, Any]:
        """The content of the method's file, read once."""
        if run.method not in self._methods:
            self._methods[run.method] = self.plan.registry.read("methods", run.method, self.plan.where)
        return self._methods[run.method]

    def work(self, job: Job) -> Work | None:
        """The work of a job; None if the size of one of its datasets is unknown. Jobs without a model have no work."""
        key = job.stage.name, job.backbone, job.about, job.local
        if key not in self._works:
            self._works[key] = self._work(job)
        return self._works[key]

    def _work(self, job: Job) -> Work | None:
        about = job.about
        needed = {getattr(about, name, None) for name in ("dataset", "target")} - {None}
        needed |= {about} if job.stage is FEATURES else set()
        if isinstance(about, Evaluation):
            needed |= {about.run.dataset}
        if not needed <= set(self.datasets):
            return None
        if isinstance(about, Views | Run) and about.shots == ALL_SHOTS and not self._draw(about):
            return None
        if isinstance(about, str) and job.stage is FEATURES:
            return self._images(job, self.datasets[about].test_images)
        if isinstance(about, Views):
            return self._images(job, self._draw(about) * len(about.seeds) * about.per_image)
        if isinstance(about, Run):
            return self._train(about)
        return self._evaluate(about) if isinstance(about, Evaluation) else Work()

    def states(self, run: Run) -> int | None:
        """Bytes for the states of frozen image layers in a training; None if none can be reused or a size is unknown."""
        if (
            run.inputs != "images"
            or run.training is None
            or run.dataset not in self.datasets
            or not self.backbones[run.backbone.name].state
        ):
            return None
        first, images, views = self._first_image_layer(run), self._draw(run), max(1, run.views)
        epochs = self._steps(run) / max(1, images // run.training.batch_size)
        if first == 1 or epochs <= views:
            return None
        return views * images * self._state_bytes(run)

    def activations(self, run: Run) -> int | None:
        """Bytes that a training step keeps of a vision transformer's layers for the backward pass; None if it does not run there.

        Low-rank terms keep up to twice as much.
        """
        size = self.backbones[run.backbone.name]
        if run.inputs != "images" or run.training is None or size.state is None or size.layers is None:
            return None
        layers = size.layers + 1 - self._first_image_layer(run)
        return run.training.batch_size * layers * STATES_A_LAYER * self._state_bytes(run)

    def _first_image_layer(self, run: Run) -> int:
        """The first layer of the image tower that the method changes, counted from 1."""
        source = self._method(run).get("image_layer_from")
        first = 1 if source is None else run.params[source]
        return first if isinstance(first, int) else min(first)

    def _state_bytes(self, run: Run) -> int:
        """Of the states of one image of each seed that trains at the same time."""
        state = self.backbones[run.backbone.name].state
        assert state is not None
        seeds = len(run.seeds) if run.stacked else 1
        return seeds * state * (FLOAT_BYTES if run.backbone.precision in ("fp32", "auto") else HALF_BYTES)

    def _steps(self, run: Run) -> int:
        training = run.training
        assert training is not None
        return training.steps or training.epochs * max(1, self._draw(run) // training.batch_size)

    def _images(self, job: Job, count: int) -> Work:
        size = self.backbone(job)
        return Work(images=count, disk=(size.feature_bytes(count, job.local) if size else None) or 0)

    def _draw(self, drawn: Views | Run) -> int:
        """N, the number of images per seed, about; 0 for all images of a dataset whose number is unknown."""
        size = self.datasets[drawn.dataset]
        classes = len(size.labels(drawn.subset))
        every = (size.train_images or 0) * classes // size.classes
        even = every if drawn.shots == ALL_SHOTS else drawn.shots * classes
        if drawn.draw.imbalance == 1:
            return even
        return round(even * mean(drawn.draw.imbalance ** (-place / max(1, classes - 1)) for place in range(classes)))

    def _train(self, run: Run) -> Work:
        training = run.training if run.temperature == "none" else None  # the training of another run
        kind, classes = self.kind(run), len(self.datasets[run.dataset].labels(run.subset))
        if training is None or kind == NONE:
            return Work()
        steps = self._steps(run)
        contexts = min(training.batch_size, self._draw(run)) if kind == PER_IMAGE else run.params.get(N_PROMPTS, 1)
        a_step = len(run.seeds) * contexts * classes
        live = run.inputs == "images"
        decoded = steps * len(run.seeds) * min(training.batch_size, self._draw(run)) if live else 0
        return Work(images=decoded, prompts=steps * a_step, steps=steps, prompts_a_step=a_step)

    def _evaluate(self, evaluation: Evaluation) -> Work:
        size, kind = self.datasets[evaluation.target], self.kind(evaluation.run)
        texts = 1 if evaluation.run.trainable else max(1, len(evaluation.templates))  # of each class
        prompts = images = 0
        contexts = evaluation.run.params.get(N_PROMPTS, 1)
        for subset in evaluation.subsets:
            tested, classes = size.images_of(subset), sum(len(size.labels(half)) for half in evaluation.among(subset))
            images += tested
            prompts += texts * {NONE: 0, PER_STEP: contexts * classes, PER_IMAGE: classes * tested}[kind]
        seeds = len(evaluation.run.seeds)
        live = evaluation.run.inputs == "images"
        return Work(
            images=seeds * images * live,
            prompts=seeds * prompts,
            disk=seeds * images * PREDICTION_BYTES[evaluation.together],
        )
