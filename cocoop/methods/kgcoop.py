"""KgCoOp: CoOp with text features close to those of hand-crafted prompts (Yao et al., CVPR 2023; KgCoOp trainers/kgcoop.py)."""

from typing import Any

from torch import Tensor

from cocoop.methods.base import Batch, Losses, Task, cross_entropy
from cocoop.methods.coop import CoOp
from cocoop.methods.shared_text import SharedText


class KgCoOp(CoOp):
    """Cross-entropy + weight * (1 - mean cosine of learned and hand-crafted text features) (kgcoop.py:309-311).

    weight: W of the authors' scripts; options: as CoOp's. The second term is over all classes trained on, whatever the batch
    holds.
    """

    def __init__(self, task: Task, *, weight: float, **options: Any) -> None:
        super().__init__(task, **options)
        self.weight = weight

    def losses(self, classify: SharedText, batch: Batch) -> tuple[Tensor, Losses]:
        text = classify.features()  # (S, C, E), of length 1
        teacher = self.task.hand_crafted(self.task.classnames)  # (C, E), of length 1
        distance = 1 - (text * teacher).sum(-1).mean(-1)  # (S,) kgcoop.py:240-243
        logits = classify.logits(batch.inputs, text)
        return logits, {"cross_entropy": cross_entropy(logits, batch.labels), "knowledge": self.weight * distance}
