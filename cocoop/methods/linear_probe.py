"""Linear probe: scikit-learn's logistic regression on the image features of the few-shot images."""

from collections.abc import Sequence

import torch
from torch import nn

from cocoop.methods.base import Classifier, FewShot, Method, Task
from cocoop.methods.shared_text import refuse_other_classes


class LinearProbe(Method):
    """A softmax layer on raw image features (like CoOp lpclip/linear_probe.py), which does not use class names.

    C: inverse strength of the l2 penalty; iterations: maximal iterations of lbfgs.
    """

    def __init__(self, task: Task, *, C: float, iterations: int) -> None:
        super().__init__(task)
        self.C, self.iterations = C, iterations
        shape = len(task.seeds), len(task.classnames)
        self.weight = nn.Parameter(torch.zeros(*shape, task.text.embed_dim, device=task.text.device))
        self.bias = nn.Parameter(torch.zeros(shape, device=task.text.device))

    @torch.no_grad()
    def fit(self, few_shot: FewShot) -> None:
        """Fits every seed's layer."""
        from sklearn.linear_model import LogisticRegression

        if self.weight.shape[1] == 1:
            return  # zeros are right for a single class, and scikit-learn requires two
        assert few_shot.features is not None  # needs: frozen_features
        for run, (x, y) in enumerate(zip(few_shot.features, few_shot.labels, strict=True)):
            probe = LogisticRegression(C=self.C, max_iter=self.iterations)
            probe.fit(x.flatten(0, 1).float().cpu().numpy(), y.repeat(len(x)).cpu().numpy())
            weight, bias = torch.from_numpy(probe.coef_), torch.from_numpy(probe.intercept_)
            if len(weight) == 1:  # two classes share one decision function
                weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
            self.weight[run], self.bias[run] = weight.to(self.weight), bias.to(self.bias)

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        refuse_other_classes("a linear probe", self.task.classnames, classnames)
        return lambda image: torch.baddbmm(self.bias[:, None], image.float(), self.weight.mT)
