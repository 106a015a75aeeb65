"""CoPrompt: MaPLe with adapters, consistent with frozen CLIP (Roy and Etemad, ICLR 2024; CoPrompt trainers/coprompt.py)."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop.methods.base import Batch, Losses, Task, cross_entropy, generator
from cocoop.methods.feature_adapter import FeatureAdapter
from cocoop.methods.maple import MaPLe
from cocoop.methods.shared_text import SharedText
from cocoop.text.prompts import texts_of


class CoPrompt(MaPLe):
    """Cross-entropy + weight * (1 - mean cosine) for text and for images, both with frozen CLIP as the teacher (:304-368).

    The text teacher is one of each class's hand-crafted prompts (descriptions, in the authors' work), drawn in each step for all
    classes; the image teacher is another augmented view of the same picture.

    weight: of the consistency; image_ratio, text_ratio: shares of the adapters' output, which is added before normalisation;
    reduction: as FeatureAdapter's; options: as MaPLe's.
    """

    def __init__(
        self, task: Task, *, weight: float, image_ratio: float, text_ratio: float, reduction: int, **options: Any
    ) -> None:
        super().__init__(task, **options)
        self.weight = weight
        generators = [generator(seed) for seed in task.seeds]
        self.image_adapter = FeatureAdapter(task.text, generators, image_ratio, reduction)
        self.text_adapter = FeatureAdapter(task.text, generators, text_ratio, reduction)

    def image_features(self, pixels: Tensor) -> Tensor:
        return self.image_adapter(super().image_features(pixels))

    def for_classes(self, classnames: Sequence[str]) -> SharedText:
        text = self.prompts.features(classnames)
        return SharedText(lambda: self.text_adapter(text()), self.text.scale, self.image_features)

    def losses(self, classify: SharedText, batch: Batch) -> tuple[Tensor, Losses]:
        assert batch.second is not None  # needs: second_view
        text, image = classify.features(), classify.image(batch.inputs)  # (S, C, E), (S, B, E)
        logits = classify.logits(image, text)
        of_text = F.cosine_similarity(text, self.sentences(), dim=-1)  # (S, C)
        of_image = F.cosine_similarity(image, batch.second, dim=-1)  # (S, B)
        return logits, {
            "cross_entropy": cross_entropy(logits, batch.labels),
            "text": self.weight * (1 - of_text.mean(1)),
            "image": self.weight * (1 - of_image.mean(1)),
        }

    def sentences(self) -> Tensor:
        """Frozen features (S, C, E) of one sentence per class, all at the same place of their lists, drawn for each seed."""
        features, first, count = self.teacher
        drawn = (self.noise.uniform(1) * count).long().minimum(count - 1)  # (S, C)
        return features[first + drawn]

    @cached_property
    def teacher(self) -> tuple[Tensor, Tensor, Tensor]:
        """Features of all sentences (T, E), and where each class's begin, and their number, (C,)."""
        found = texts_of(self.task.classnames, self.task.prompts)
        count = torch.tensor([len(texts) for texts in found], device=self.text.device)
        return self.text.features([text for texts in found for text in texts]), count.cumsum(0) - count, count
