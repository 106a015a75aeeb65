"""Predictions of S runs on cached test features."""

from collections.abc import Iterable

import torch
from torch import Tensor

from cocoop import progress
from cocoop.errors import UserError
from cocoop.methods.base import Classifier
from cocoop.methods.shared_text import holding
from cocoop.training.loop import autocast

MOST_IMAGES = 500
NUMBERS_OF_TOKEN = 8  # for each local feature and class: two numbers for each of four prompts (PLOT)


def most_at_once(runs: int, classes: int, embed_dim: int, tokens: int, budget_mb: int) -> int:
    """Images per batch such that the text features of all images in it fit the budget.

    tokens: features per image; local ones need room for themselves and for their similarities to the prompts of each class.
    """
    of_class = max(embed_dim, NUMBERS_OF_TOKEN * tokens)
    return max(1, min(MOST_IMAGES, budget_mb * 2**20 // (8 * runs * (classes * of_class + (tokens - 1) * embed_dim))))


@torch.no_grad()
def predict(
    classifier: Classifier, batches: Iterable[Tensor], images: int, runs: int, precision: str, where: str
) -> tuple[Tensor, Tensor]:
    """Predicted class inside the subset (S, N) and its probability (S, N); batches: (B, E) or (B, 3, H, W), N images in all."""
    predicted, confidence = [], []
    with progress.bar(images, where, "image") as bar, holding():
        for batch in batches:
            with autocast(precision, batch.device):
                logits = classifier(batch.expand(runs, *batch.shape)).float()  # (S, B, C)
            if not torch.isfinite(logits).all():
                raise UserError(f"{where}: logits hold NaN or infinity; look at the features and the learned tensors.")
            probability, best = logits.softmax(-1).max(-1)
            predicted.append(best.cpu())
            confidence.append(probability.cpu())
            bar.update(len(batch))
    return torch.cat(predicted, 1), torch.cat(confidence, 1)
