"""Linear probe: logistic regression on the image features of the few-shot images, by scikit-learn."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cocoop.methods.base import Classifier, Method, refuse_other_classes
from cocoop.text.text_encoder import TextEncoder


class LinearProbe(Method):
    """A softmax layer on raw image features (as CoOp lpclip/linear_probe.py); it knows no class names.

    C: inverse strength of the l2 penalty; iterations: most of lbfgs.
    """

    def __init__(
        self,
        text: TextEncoder,
        seeds: Sequence[int],
        template: str,
        *,
        C: float,
        iterations: int,
        classnames: Sequence[str] = (),
    ) -> None:
        super().__init__(text, seeds, template)
        self.C, self.iterations, self.bound_to = C, iterations, tuple(classnames)
        self.weight = nn.Parameter(torch.zeros(len(seeds), len(classnames), text.embed_dim, device=text.device))
        self.bias = nn.Parameter(torch.zeros(len(seeds), len(classnames), device=text.device))

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Fits every seed's layer to features (S, V, N, E) and labels (S, N)."""
        from sklearn.linear_model import LogisticRegression

        if self.weight.shape[1] == 1:
            return  # one class: zeros already say so, and scikit-learn wants two
        for run, (x, y) in enumerate(zip(features, labels, strict=True)):
            probe = LogisticRegression(C=self.C, max_iter=self.iterations)
            probe.fit(x.flatten(0, 1).float().cpu().numpy(), y.repeat(len(x)).cpu().numpy())
            weight, bias = torch.from_numpy(probe.coef_), torch.from_numpy(probe.intercept_)
            if len(weight) == 1:  # two classes share one decision function
                weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
            self.weight[run], self.bias[run] = weight.to(self.weight), bias.to(self.bias)

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        refuse_other_classes("a linear probe", self.bound_to, classnames)
        return lambda image: torch.baddbmm(self.bias[:, None], image.float(), self.weight.mT)
