"""Linear probe: scikit-learn's logistic regression on the image features of the few-shot images."""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cocoop.methods.base import FewShot, Task
from cocoop.methods.class_head import UNSEEN, ClassHead

FIRST = (
    6,
    4,
    2,
    0,
    -2,
    -4,
    -6,
)  # log10 of the values of C that the search begins with (CoOp lpclip/linear_probe.py:54)


class LinearProbe(ClassHead):
    """A softmax layer on raw image features (like CoOp lpclip/linear_probe.py), which does not use class names.

    scikit-learn leaves out classes without a training image; here their logit is `UNSEEN`.
    C: inverse strength of the l2 penalty; iterations: maximal iterations of lbfgs; search_steps: bisections of the search of C.
    """

    name = "a linear probe"

    def __init__(self, task: Task, *, C: float, iterations: int, search_steps: int) -> None:
        super().__init__(task)
        self.iterations, self.search_steps = iterations, search_steps
        shape = len(task.seeds), len(task.classnames)
        self.weight = nn.Parameter(torch.zeros(*shape, task.text.embed_dim, device=task.text.device))
        self.bias = nn.Parameter(torch.zeros(shape, device=task.text.device))
        self.fixed = C
        self.choose("C", C)

    @torch.no_grad()
    def fit(self, few_shot: FewShot) -> None:
        """Fits every seed's layer."""
        assert few_shot.features is not None  # inputs: features
        for run, (x, y) in enumerate(zip(few_shot.features, few_shot.labels, strict=True)):
            images, labels = x.flatten(0, 1).float().cpu().numpy(), y.repeat(len(x)).cpu().numpy()
            self.weight[run], self.bias[run] = 0, UNSEEN
            if len(set(labels)) == 1:
                self.bias[run, labels[0]] = 0  # scikit-learn requires two classes
                continue
            if few_shot.val_features is None or few_shot.val_labels is None:
                probe = self.probe(self.fixed, images, labels)
            else:
                val = few_shot.val_features[run].float().cpu().numpy(), few_shot.val_labels[run].cpu().numpy()
                probe = self.search(images, labels, *val)
            weight, bias = torch.from_numpy(probe.coef_), torch.from_numpy(probe.intercept_)
            if len(probe.classes_) == 2:  # which share one decision function
                weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
            self.weight[run, probe.classes_] = weight.to(self.weight)
            self.bias[run, probe.classes_] = bias.to(self.bias)
            self.C[run] = probe.C

    def probe(self, C: float, images: np.ndarray, labels: np.ndarray) -> Any:
        """scikit-learn's classifier of features (N, E) with labels (N,)."""
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=C, max_iter=self.iterations).fit(images, labels)

    def search(self, images: np.ndarray, labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray) -> Any:
        """The classifier with the C of the last bisection around the first best of `FIRST` (linear_probe.py:54-118).

        A bisection compares both ends of the interval on the validation features (Nv, E), takes the right end if it is strictly
        better, else the left one, and keeps the half of the interval at this end.
        """

        @cache
        def tried(exponent: float) -> tuple[int, Any]:
            probe = self.probe(10.0**exponent, images, labels)
            return int((probe.predict(val) == val_labels).sum()), probe

        peak = max(FIRST, key=lambda exponent: tried(exponent)[0])
        left, right, chosen = peak - 1.0, peak + 1.0, tried(peak)[1]
        for _ in range(self.search_steps):
            better = tried(left)[0] < tried(right)[0]
            chosen, middle = tried(right if better else left)[1], (left + right) / 2
            left, right = (middle, right) if better else (left, middle)
        return chosen

    def logits(self, image: Tensor) -> Tensor:
        return torch.baddbmm(self.bias[:, None], image.float(), self.weight.mT)
