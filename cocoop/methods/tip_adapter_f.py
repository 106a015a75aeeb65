"""Tip-Adapter-F: Tip-Adapter with keys that are trained (Zhang et al., ECCV 2022; Tip-Adapter main.py:66-141)."""

from typing import Any

import torch
from torch import Tensor, nn

from cocoop.methods.base import FewShot, Task
from cocoop.methods.selection import right
from cocoop.methods.tip_adapter import TipAdapter, fill


class TipAdapterF(TipAdapter):
    """Trains the keys with the fixed alpha and beta. If the run selects, takes the first epoch with the most right validation
    images, and then searches alpha and beta; the authors take the epoch by test accuracy (main.py:108-114).
    """

    def __init__(self, task: Task, **options: Any) -> None:
        super().__init__(task, **options)
        self.choose("epoch", 0)  # whose keys are taken, from 1
        self.keep("most", torch.full((len(task.seeds),), -1, device=task.text.device))  # right validation images in it
        self.keep("best", nn.UninitializedBuffer())  # its keys, empty before and after the training

    def register_keys(self) -> None:
        self.keys = nn.UninitializedParameter()

    def fit(self, few_shot: FewShot) -> None:
        self.cache(few_shot)
        fill(self.best, self.keys.detach()[:, :0, 0])

    def after_epoch(self, epoch: int, epochs: int) -> None:
        self.epoch[self.most < 0] = epoch + 1

    @torch.no_grad()
    def select(self, features: Tensor, labels: Tensor, epoch: int, epochs: int) -> None:
        if epoch == 0:
            self.best = self.keys.detach().clone()
        counts = right(self.logits(features.to(self.text.dtype)), labels)
        better = counts > self.most
        self.most[better], self.epoch[better], self.best[better] = counts[better], epoch + 1, self.keys[better]
        if epoch + 1 == epochs:
            self.keys.copy_(self.best)
            self.search(features, labels)
            self.best = self.best[:, :0, 0]
