"""PromptSRC: IVLP that stays near frozen CLIP, averaged over its epochs (Khattak et al., ICCV 2023; trainers/promptsrc.py)."""

from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop.methods.base import Batch, Losses, Task, cross_entropy
from cocoop.methods.ivlp import IVLP
from cocoop.methods.shared_text import SharedText

TEMPLATES = [template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]
FIRST = "a photo of a {}."


class PromptSRC(IVLP):
    """Cross-entropy, distances of both features from the frozen ones, and the divergence of the predictions (:294-317).

    text_weight, image_weight: weights of the mean absolute differences of the normalised features.
    teacher_templates: how many of OpenAI's ImageNet templates the frozen text features average, for every dataset, "a photo of a
        {}." first. Their mean is over features that are not normalised (:110-128).
    gpa_mean, gpa_std: the learned tensors are averaged over the epochs 1, 2, .. with weights of this normal distribution; their
        mean replaces them after the last epoch (:263-270, 321-356).
    options: as IVLP's.
    """

    def __init__(
        self,
        task: Task,
        *,
        text_weight: float,
        image_weight: float,
        teacher_templates: int,
        gpa_mean: float,
        gpa_std: float,
        **options: Any,
    ) -> None:
        super().__init__(task, **options)
        self.text_weight, self.image_weight = text_weight, image_weight
        self.gpa_mean, self.gpa_std = gpa_mean, gpa_std
        others = [template for template in TEMPLATES if template != FIRST]
        self.templates = [FIRST, *others][:teacher_templates]
        self.keep("average", torch.zeros_like(self.flat()))

    def losses(self, classify: SharedText, batch: Batch) -> tuple[Tensor, Losses]:
        assert batch.frozen is not None  # needs: frozen_features
        text, raw = classify.features(), classify.image(batch.inputs)
        image, frozen_image = F.normalize(raw, dim=-1), F.normalize(batch.frozen, dim=-1)  # (S, B, E)
        teacher = F.normalize(self.text.zero_shot(self.task.classnames, self.templates, "raw"), dim=-1)  # (C, E)
        logits, frozen = classify.logits(raw, text), classify.logits(batch.frozen, teacher[None])  # (S, B, C)
        divergence = F.kl_div(logits.log_softmax(-1), frozen.log_softmax(-1), reduction="none", log_target=True)
        return logits, {
            "cross_entropy": cross_entropy(logits, batch.labels),
            "text": self.text_weight * (text - teacher).abs().mean((1, 2)),
            "image": self.image_weight * (image - frozen_image).abs().mean((1, 2)),
            "logits": divergence.mean((1, 2)),  # over images and classes
        }

    @torch.no_grad()
    def after_epoch(self, epoch: int, epochs: int) -> None:
        self.average += self.epoch_weights(epochs)[epoch].to(self.average) * self.flat()
        if epoch + 1 == epochs:
            learned = list(self.learned_parameters().values())
            for parameter, part in zip(learned, self.average.split([p[0].numel() for p in learned], 1), strict=True):
                parameter.copy_(part.view_as(parameter))

    def epoch_weights(self, epochs: int) -> Tensor:
        """Weights of the epochs (epochs,), with sum 1."""
        distance = (torch.arange(1, epochs + 1, dtype=torch.float64) - self.gpa_mean) / self.gpa_std
        return (-distance.square() / 2).softmax(0)

    def flat(self) -> Tensor:
        """All learned tensors of each seed in one vector, (S, n)."""
        learned = [parameter.detach() for parameter in self.learned_parameters().values()]
        return torch.cat([tensor.reshape(len(tensor), -1) for tensor in learned], 1)
