"""Predictions of S runs on cached test features."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from cocoop import progress
from cocoop.errors import UserError
from cocoop.methods.base import Classifier
from cocoop.methods.shared_text import SharedText, holding
from cocoop.training.loop import autocast

MOST_IMAGES = 500
NUMBERS_OF_TOKEN = 8  # for each local feature and class: two numbers for each of four prompts (PLOT)


def most_at_once(runs: int, classes: int, embed_dim: int, tokens: int, budget_mb: int) -> int:
    """Images per batch such that the text features of all images in it fit the budget.

    tokens: features per image; local ones need room for themselves and for their similarities to the prompts of each class.
    """
    of_class = max(embed_dim, NUMBERS_OF_TOKEN * tokens)
    return max(1, min(MOST_IMAGES, budget_mb * 2**20 // (8 * runs * (classes * of_class + (tokens - 1) * embed_dim))))


class Answers(NamedTuple):
    """What is kept of each image: tensors (S, N) of S seeds and N images, or (N,) of one seed.

    Attributes:
        predicted: the predicted class.
        confidence: its probability.
        log_probability: the natural logarithm of the true class's probability.
        rank: of the true class by its logit, from 1; of equal logits, the first class comes first.
        largest: the largest logit, with the scale.
        logsumexp: of all logits, with the scale.
        squares: the sum of all squared probabilities.
        other_predicted, other_largest, other_logsumexp: the most probable class of the other half, and the same of its logits;
            None unless the images are also classified among these.
    """

    predicted: Tensor
    confidence: Tensor
    log_probability: Tensor
    rank: Tensor
    largest: Tensor
    logsumexp: Tensor
    squares: Tensor
    other_predicted: Tensor | None = None
    other_largest: Tensor | None = None
    other_logsumexp: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> "Answers":
        """The same, with every tensor changed."""
        return Answers(*(None if tensor is None else change(tensor) for tensor in self))  # type: ignore[arg-type]

    def of_seed(self, place: int) -> "Answers":
        """The answers (N,) of one of the seeds."""
        return self.map(lambda tensor: tensor[place])


@torch.no_grad()
def predict(
    classifier: Classifier,
    batches: Iterable[Tensor],
    truth: Tensor,
    runs: int,
    precision: str,
    where: str,
    other: Classifier | None = None,
) -> Answers:
    """The answers (S, N) of a classifier to N images.

    batches: (B, E) or (B, 3, H, W), N images in all; truth: (N,) their classes, as positions among those of the classifier;
    other: a classifier among the classes of the other half, which sees the same encoded images.
    """
    answers: list[Answers] = []
    first = 0
    with progress.bar(len(truth), where, "image") as bar, holding():
        for batch in batches:
            with autocast(precision, batch.device):
                found = _logits(classifier, other, batch.expand(runs, *batch.shape))
            if not all(torch.isfinite(logits).all() for logits in found):
                raise UserError(f"{where}: logits hold NaN or infinity; look at the features and the learned tensors.")
            labels = truth[first : first + len(batch)].to(batch.device)
            answers.append(_answers(labels, *found).map(Tensor.cpu))
            first += len(batch)
            bar.update(len(batch))
    joined = (None if parts[0] is None else torch.cat(parts, 1) for parts in zip(*answers, strict=True))
    return Answers(*joined)  # type: ignore[arg-type]


def comparable(classifier: Classifier, other: Classifier) -> bool:
    """Whether logits of two classifiers of a method can be compared: not if they are of different kinds.

    A method that has more to say about classes trained on than about others (DePT, MMRL) has two kinds of classifiers.
    """
    return getattr(classifier, "__code__", type(classifier)) is getattr(other, "__code__", type(other))


def _logits(classifier: Classifier, other: Classifier | None, inputs: Tensor) -> list[Tensor]:
    """Logits (S, B, C) of each classifier; a `SharedText` encodes the images once for both."""
    if other is None:
        return [classifier(inputs).float()]
    if isinstance(classifier, SharedText) and type(classifier) is SharedText and type(other) is SharedText:
        image = classifier.image(inputs)
        return [one.logits(image, one.features()).float() for one in (classifier, other)]
    return [classifier(inputs).float(), other(inputs).float()]


def _answers(truth: Tensor, logits: Tensor, other: Tensor | None = None) -> Answers:
    """The answers (S, B) to images of the classes `truth` (B,) with logits (S, B, C)."""
    probabilities = logits.softmax(-1)
    confidence, best = probabilities.max(-1)
    labels = truth.expand(best.shape)
    own = logits.gather(-1, labels[..., None])  # (S, B, 1)
    before = torch.arange(logits.shape[-1], device=logits.device) < labels[..., None]  # (S, B, C)
    rank = 1 + ((logits > own) | ((logits == own) & before)).sum(-1)
    rank = rank.clamp(min=2).where(
        best != labels, torch.ones_like(rank)
    )  # rounding makes equal probabilities of unequal logits
    largest, logsumexp = logits.amax(-1), logits.logsumexp(-1)
    found = Answers(best, confidence, own[..., 0] - logsumexp, rank, largest, logsumexp, probabilities.square().sum(-1))
    if other is None:
        return found
    largest, best = other.max(-1)
    return found._replace(other_predicted=best, other_largest=largest, other_logsumexp=other.logsumexp(-1))
