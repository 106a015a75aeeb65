"""A classifier of image features among the classes trained on alone, which computes in fp32."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from cocoop.methods.base import Classifier, Method
from cocoop.methods.shared_text import refuse_other_classes


class ClassHead(Method):
    """Implement `logits` instead of `for_classes`.

    A method that learns by itself fits and selects outside autocast, so its classifier leaves autocast, too: a backbone in
    bf16 or fp16 gives features of that precision, but tests compute with them what the selection computed.
    """

    name: str
    """Of what was learned, in the message for other classes."""

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
