"""Trainings for tests, without files."""

from typing import Any

from torch import Tensor

from cocoop.config.specs import TrainingSpec
from cocoop.images.cached import Cached
from cocoop.images.inputs import TrainingImages
from cocoop.methods.base import Classifier, Method
from cocoop.training.loop import Progress, Trainer


def trainer(
    method: Method, classifier: Classifier, images: tuple[Any, Tensor], training: TrainingSpec, **options: Any
) -> Trainer:
    """images: features (S, V, N, E), or another source, and labels (S, N); validation: features and labels to select on."""
    source, labels = images
    cached, validation = Cached(source) if isinstance(source, Tensor) else None, options.pop("validation", None)
    images_of = TrainingImages(cached or source, labels, (), {}, cached, validation)
    return Trainer(method, classifier, images_of, training, **options)


def fit(
    method: Method, classifier: Classifier, source: Any, labels: Tensor, training: TrainingSpec, **options: Any
) -> Progress:
    """A whole training; done and after_epoch as in `Trainer.run`."""
    how = {name: options.pop(name) for name in ("done", "after_epoch") if name in options}
    return trainer(method, classifier, (source, labels), training, **options).run(**how)
