"""Predictions of S runs on cached test features."""

import torch
from torch import Tensor

from cocoop import progress
from cocoop.errors import UserError
from cocoop.methods.base import Classifier
from cocoop.training.loop import autocast

MOST_IMAGES = 500


@torch.no_grad()
def predict(
    classifier: Classifier,
    features: Tensor,
    runs: int,
    classes: int,
    embed_dim: int,
    precision: str,
    budget_mb: int,
    where: str,
) -> tuple[Tensor, Tensor]:
    """Predicted class inside the subset (S, N) and its probability (S, N) for image features (N, E)."""
    at_once = max(1, min(MOST_IMAGES, budget_mb * 2**20 // (8 * runs * classes * embed_dim)))
    predicted, confidence = [], []
    with progress.bar(len(features), where, "image") as bar:
        for batch in features.split(at_once):
            with autocast(precision, features.device):
                logits = classifier(batch.expand(runs, -1, -1)).float()  # (S, B, C)
            if not torch.isfinite(logits).all():
                raise UserError(f"{where}: logits hold NaN or infinity; look at the features and the learned tensors.")
            probability, best = logits.softmax(-1).max(-1)
            predicted.append(best.cpu())
            confidence.append(probability.cpu())
            bar.update(len(batch))
    return torch.cat(predicted, 1), torch.cat(confidence, 1)
