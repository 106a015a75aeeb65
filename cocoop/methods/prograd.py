"""ProGrad: CoOp's gradient without its part against zero-shot CLIP (Zhu et al., ICCV 2023; ProGrad.public trainers/prograd.py)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop.errors import UserError
from cocoop.methods.base import Batch, Losses, Task, cross_entropy
from cocoop.methods.coop import CoOp
from cocoop.methods.shared_text import SharedText
from cocoop.text.prompts import PLACEHOLDER


class ProGrad(CoOp):
    """The general loss is the cross-entropy to zero-shot CLIP's predictions; it only turns the gradient, and is not minimised.

    n_ctx: M; from_template: the context starts as the words of the dataset's template before the class name, with zeros in
    front (prograd.py:78-105), else at random; loss_t: temperature of the general loss; loss_lambda: how much of the conflict is
    taken away.
    """

    def __init__(self, task: Task, *, n_ctx: int, from_template: bool, loss_t: float, loss_lambda: float) -> None:
        super().__init__(task, n_ctx=n_ctx, ctx_init=None, class_token_position="end", csc=False)
        self.loss_t, self.loss_lambda = loss_t, loss_lambda
        if from_template:
            self._start_from(task.template.split("{}")[0].strip())

    def _start_from(self, words: str) -> None:
        contexts, count = self.ctx.shape[1], len(words.split())
        if count > contexts:
            raise UserError(
                f"prograd: {contexts} context vectors for the {count} words {words!r} of the template; "
                f"take n_ctx from {count} on, or from_template: false."
            )
        self.options["words"] = " ".join([*[PLACEHOLDER] * (contexts - count), *words.split()]) or None
        with torch.no_grad():
            self.ctx.zero_()
            if count:
                self.ctx[:, contexts - count :] = self.text.embedded_words(words, count)

    def losses(self, classify: SharedText, batch: Batch) -> tuple[Tensor, Losses]:
        """The sum of the terms in history.csv is not what is minimised, which is the cross-entropy."""
        text = self.task.hand_crafted(self.task.classnames)[None]  # (1, C, E)
        logits, teacher = classify(batch.inputs), classify.logits(batch.inputs, text)  # (S, B, C)
        softened = F.log_softmax(logits / self.loss_t, -1)
        general = -(F.softmax(teacher / self.loss_t, -1) * softened).sum(-1).mean(-1) * self.loss_t**2  # (S,)
        return logits, {"cross_entropy": cross_entropy(logits, batch.labels), "general": general}

    def backward(self, losses: Losses) -> None:
        """Each seed's gradient of the cross-entropy, without its component against the general one (trainer.py:311-349)."""
        parameters = list(self.learned_parameters().values())
        general = _flat(torch.autograd.grad(losses["general"].sum(), parameters, retain_graph=True))
        losses["cross_entropy"].sum().backward()
        unit = F.normalize(general, dim=1)
        against = (
            (_flat([p.grad for p in parameters if p.grad is not None]) * unit).sum(1, keepdim=True).clamp(max=0)
        )  # (S, 1)
        turned = (self.loss_lambda * against * unit).split([p[0].numel() for p in parameters], 1)
        for parameter, part in zip(parameters, turned, strict=True):
            parameter.grad -= part.view_as(parameter)


def _flat(gradients: Sequence[Tensor]) -> Tensor:
    """One vector per seed: (S, n)."""
    return torch.cat([gradient.reshape(len(gradient), -1) for gradient in gradients], 1)
