"""CLIP-Adapter: a small network behind the image tower (Gao et al., IJCV 2023; CLIP-Adapter clip_adapter.py)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from cocoop.methods.base import Classifier, Method, Task, generator, like_linear
from cocoop.methods.shared_text import SharedText


class CLIPAdapter(Method):
    """f' = ratio * relu(W2 relu(W1 f)) + (1 - ratio) * f, classified by hand-crafted prompts (clip_adapter.py:55-67,97-115).

    ratio: share of the adapter's output; reduction: hidden width is the feature's divided by this. Both layers are free of
    biases and start as torch's own Linear.
    """

    def __init__(self, task: Task, *, ratio: float, reduction: int) -> None:
        super().__init__(task)
        self.ratio, width = ratio, task.text.embed_dim
        hidden, generators = max(1, width // reduction), [generator(seed) for seed in task.seeds]
        self.down = like_linear((hidden, width), width, generators, task.text)
        self.up = like_linear((width, hidden), hidden, generators, task.text)

    def adapted(self, image: Tensor) -> Tensor:
        """Image features (S, B, E), adapted."""
        change = F.relu(F.relu(image @ self.down.mT) @ self.up.mT)
        return self.ratio * change + (1 - self.ratio) * image

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        text = self.task.hand_crafted(classnames)[None]  # (1, C, E)
        return SharedText(lambda: text, self.text.scale, self.adapted)
