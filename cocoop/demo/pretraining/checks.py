"""Checks the trained model on unseen images, and whether half precision changes its predictions."""

from collections.abc import Iterable

import torch
from open_clip.model import CLIP

from cocoop.backbone import tiny
from cocoop.demo.pretraining.batches import Batch, text_features


@torch.no_grad()
def held_out(model: CLIP, samples: Iterable[Batch]) -> dict[str, float]:
    """Fraction of images whose best caption in the batch is true; fraction of best captions that rounding to fp16 preserves.

    Leaves the model in evaluation mode with rounded weights.
    """
    model.eval()
    samples = list(samples)
    exact = [_best_captions(model, sample) for sample in samples]
    model.load_state_dict(tiny.rounded(model.state_dict()))
    rounded = [_best_captions(model, sample) for sample in samples]
    true = [sample.matches.gather(1, best[:, None])[:, 0] for sample, best in zip(samples, exact, strict=True)]
    return {
        "accuracy": round(float(torch.cat(true).float().mean()), 4),
        "same_in_half_precision": round(float((torch.cat(exact) == torch.cat(rounded)).float().mean()), 4),
    }


def _best_captions(model: CLIP, sample: Batch) -> torch.Tensor:
    """Index of the best caption for each picture, (B,)."""
    texts = torch.nn.functional.normalize(text_features(model, sample.captions), dim=-1)
    return (model.visual(sample.pictures) @ texts.T).argmax(1)
