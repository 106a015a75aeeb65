"""Tip-Adapter: a cache of the training images beside zero-shot CLIP (Zhang et al., ECCV 2022; Tip-Adapter main.py, utils.py)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from cocoop.methods.base import FewShot, Task
from cocoop.methods.class_head import ClassHead
from cocoop.methods.selection import first_best, right

CLIP_SCALE = 100.0  # a constant in the code, whatever the backbone's logit scale is (main.py:30)


class TipAdapter(ClassHead):
    """Logits 100 f·t + alpha exp(-beta (1 - f·k)) v with unit vectors f, t, k and one-hot values v (main.py:27-63).

    alpha, beta: their fixed values; search_scale, search_step: upper ends and numbers of steps of the grid (beta, alpha) of
    `search`; cache_views: a key averages at most so many views of its image.
    """

    name = "a cache"

    def __init__(
        self,
        task: Task,
        *,
        alpha: float,
        beta: float,
        search_scale: Sequence[float],
        search_step: Sequence[int],
        cache_views: int,
    ) -> None:
        super().__init__(task)
        self.search_scale, self.search_step, self.cache_views = search_scale, search_step, cache_views
        self.choose("alpha", alpha)
        self.choose("beta", beta)
        self.keep("labels", nn.UninitializedBuffer())  # (S, N)
        self.register_keys()

    def register_keys(self) -> None:
        """Registers the keys (S, N, E); only the training images decide how many there are."""
        self.keep("keys", nn.UninitializedBuffer())

    def fit(self, few_shot: FewShot) -> None:
        self.cache(few_shot)
        if few_shot.val_features is not None and few_shot.val_labels is not None:
            self.search(few_shot.val_features, few_shot.val_labels)

    @torch.no_grad()
    def cache(self, few_shot: FewShot) -> None:
        """A key is the mean of an image's raw features over its views, divided by its length (utils.py:38-71)."""
        assert few_shot.features is not None  # inputs: features
        keys = F.normalize(few_shot.features[:, : self.cache_views].mean(1), dim=-1)
        fill(self.keys, keys.to(self.text.dtype))
        fill(self.labels, few_shot.labels)

    @torch.no_grad()
    def search(self, features: Tensor, labels: Tensor) -> Tensor:
        """Sets alpha and beta to the first best point of the grid for features (S, B, E) and labels (S, B) (utils.py:99-129).

        Returns how many images each point classifies right, (S, betas, alphas). The grid leaves out its upper ends.
        """
        betas, alphas = (
            [0.1 + i * (scale - 0.1) / steps for i in range(steps)]
            for scale, steps in zip(self.search_scale, self.search_step, strict=True)
        )
        zero_shot, similarity = self.compared(features.to(self.text.dtype))
        counts = torch.stack(
            [
                right(zero_shot + alpha * votes, labels)
                for votes in (self.votes(similarity, beta) for beta in betas)
                for alpha in alphas
            ],
            1,
        )  # (S, P)
        best = first_best(counts)
        self.beta.copy_(torch.tensor(betas)[best.cpu() // len(alphas)])
        self.alpha.copy_(torch.tensor(alphas)[best.cpu() % len(alphas)])
        return counts.view(-1, len(betas), len(alphas))

    def compared(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Zero-shot logits (S, B, C) of image features (S, B, E), and their similarities (S, B, N) to the keys."""
        text = self.task.hand_crafted(self.task.classnames).to(image.dtype)  # (C, E)
        image = F.normalize(image, dim=-1)
        return CLIP_SCALE * image @ text.mT, image @ self.keys.mT

    def votes(self, similarity: Tensor, beta: float | Tensor) -> Tensor:
        """The cache's logits (S, B, C) of similarities (S, B, N)."""
        values = F.one_hot(self.labels, len(self.task.classnames)).to(similarity.dtype)  # (S, N, C)
        return torch.exp(beta * (similarity - 1)) @ values

    def logits(self, image: Tensor) -> Tensor:
        zero_shot, similarity = self.compared(image)
        return zero_shot + self.alpha[:, None, None] * self.votes(similarity, self.beta[:, None, None])


def fill(lazy: Tensor, values: Tensor) -> None:
    """Gives an uninitialised parameter or buffer its shape and values."""
    assert is_lazy(lazy)
    lazy.materialize(values.shape, values.device, values.dtype)
    lazy.data.copy_(values)
