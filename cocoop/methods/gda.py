"""Gaussian discriminant analysis beside zero-shot CLIP (Wang et al., A Hard-to-Beat Baseline for Training-free CLIP-based
Adaptation, ICLR 2024; mrflogs/ICLR24 main_few_shots.py)."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.methods.base import FewShot, Task
from cocoop.methods.class_head import ClassHead
from cocoop.methods.selection import first_best, right

CLIP_SCALE = 100.0  # a constant in the code, whatever the backbone's logit scale is


class GDA(ClassHead):
    """Logits 100 f·t_c + alpha (f·w_c + b_c) with unit vectors f and t, in closed form (main_few_shots.py:42-81).

    w_c = P mu_c and b_c = log(1 / C) - mu_c·P mu_c / 2 with the class means mu_c and a shared precision matrix P.
    alpha: its fixed value; alphas: the values among which a run that selects takes the first best.
    """

    name = "GDA"

    def __init__(self, task: Task, *, alpha: float, alphas: Sequence[float]) -> None:
        super().__init__(task)
        self.alphas, shape = alphas, (len(task.seeds), len(task.classnames))
        self.weight = nn.Parameter(torch.zeros(*shape, task.text.embed_dim, device=task.text.device))
        self.bias = nn.Parameter(torch.zeros(shape, device=task.text.device))
        self.choose("alpha", alpha)

    @torch.no_grad()
    def fit(self, few_shot: FewShot) -> None:
        """All views of all images are samples."""
        assert few_shot.features is not None  # inputs: features
        image = F.normalize(few_shot.features.float(), dim=-1)  # (S, V, N, E)
        self.estimate(image.flatten(1, 2), few_shot.labels.repeat(1, image.shape[1]))
        if few_shot.val_features is not None and few_shot.val_labels is not None:
            zero_shot, of_samples = self.parts(few_shot.val_features)
            tried = torch.tensor(self.alphas, device=zero_shot.device)
            counts = torch.stack([right(zero_shot + alpha * of_samples, few_shot.val_labels) for alpha in tried], 1)
            self.alpha.copy_(tried[first_best(counts)])

    def estimate(self, samples: Tensor, labels: Tensor) -> None:
        """Weight and bias from unit features (S, n, E) and labels (S, n).

        P = E ((n - 1) cov + tr(cov) I)^-1 with the covariance of the samples around their class means; the pseudo-inverse, so
        that it is zero where all samples of a class are equal.
        """
        n, width = samples.shape[1:]
        members = F.one_hot(labels, self.weight.shape[1]).to(samples.dtype)  # (S, n, C)
        means = members.mT @ samples / members.sum(1)[..., None].clamp(min=1)  # (S, C, E)
        centred = samples - members @ means
        scatter = centred.mT @ centred  # (n - 1) cov
        trace = scatter.diagonal(dim1=1, dim2=2).sum(-1) / max(1, n - 1)
        identity = torch.eye(width, device=samples.device)
        precision = width * torch.linalg.pinv(scatter + trace[:, None, None] * identity, hermitian=True)
        self.weight.copy_(means @ precision)
        self.bias.copy_(-math.log(self.bias.shape[1]) - (self.weight * means).sum(-1) / 2)

    def parts(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Zero-shot logits (S, B, C) of image features (S, B, E), and those of the Gaussians."""
        text = F.normalize(self.task.hand_crafted(self.task.classnames).float(), dim=-1)  # (C, E)
        image = F.normalize(image.float(), dim=-1)
        return CLIP_SCALE * image @ text.mT, torch.baddbmm(self.bias[:, None], image, self.weight.mT)

    def logits(self, image: Tensor) -> Tensor:
        zero_shot, of_samples = self.parts(image)
        return zero_shot + self.alpha[:, None, None] * of_samples
