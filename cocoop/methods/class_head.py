"""A classifier of image features that knows only the classes trained on; it computes outside autocast."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from cocoop.methods.base import Classifier, Method
from cocoop.methods.shared_text import refuse_other_classes

UNSEEN = -1e4
"""The logit of a class that nothing is known of, because no training image has its label: lower than any other, and finite in
fp16. Each of its test images adds about 1e4 to the sum that is the NLL."""


class ClassHead(Method):
    """Implement `logits` instead of `for_classes`.

    A method that learns by itself fits and selects outside autocast, so its classifier leaves autocast, too: a backbone in
    bf16 or fp16 gives features of that precision, but a test then computes exactly what the selection computed.
    """

    name: str
    """What the message for other classes calls the learned tensors."""

    @abstractmethod
    def logits(self, image: Tensor) -> Tensor:
        """Logits (S, B, C) of image features (S, B, E) among the training classes."""

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        refuse_other_classes(self.name, self.task.classnames, classnames)
        return self.precise_logits

    def precise_logits(self, image: Tensor) -> Tensor:
        """`logits`, without autocast."""
        with torch.autocast(image.device.type, enabled=False):
            return self.logits(image)
