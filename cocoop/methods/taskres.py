"""TaskRes: learned residuals of the text features (Yu et al., CVPR 2023; TaskRes trainers/taskres.py)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cocoop.methods.base import Classifier, Method, Task
from cocoop.methods.shared_text import SharedText, refuse_other_classes


class TaskRes(Method):
    """t = base + alpha * residual, with hand-crafted text features as base and a residual (C, E) that starts at zero
    (taskres.py:91-101,198-217).

    alpha: the scale of the residual. The base is the plain mean over templates and not normalised (taskres.py:118-142).
    """

    def __init__(self, task: Task, *, alpha: float) -> None:
        super().__init__(task)
        self.alpha, text = alpha, task.text
        shape = len(task.seeds), len(task.classnames), text.embed_dim
        self.residual = nn.Parameter(torch.zeros(shape, device=text.device, dtype=text.dtype))

    def base(self) -> Tensor:
        """Hand-crafted text features (C, E). The authors leave underscores in class names (taskres.py:118-142)."""
        return self.task.hand_crafted(self.task.classnames, "raw", underscores=True)

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        refuse_other_classes("residuals", self.task.classnames, classnames)
        base = self.base()
        return SharedText(lambda: base + self.alpha * self.residual, self.text.scale)
