"""Zero-shot CLIP: one hand-crafted prompt per class (CoOp trainers/zsclip.py)."""

from collections.abc import Sequence

import torch

from cocoop.methods.base import Classifier, Method, SharedText


class ZeroShot(Method):
    """Nothing is learned; the dataset's template gives the prompts."""

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        encoder = self.text.encoder(self.text.templated(classnames, self.template))
        nothing = torch.zeros(1, 0, self.text.width, dtype=self.text.dtype, device=self.text.device)
        return SharedText(lambda: encoder(nothing), self.text.scale)
