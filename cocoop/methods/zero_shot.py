"""Zero-shot CLIP: one hand-crafted prompt per class (CoOp trainers/zsclip.py)."""

from collections.abc import Sequence

from cocoop.methods.base import Classifier, Method
from cocoop.methods.shared_text import SharedText


class ZeroShot(Method):
    """Nothing is learned; the dataset's templates give the prompts."""

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        text = self.text.zero_shot(classnames, self.task.templates)[None]  # (1, C, E)
        return SharedText(lambda: text, self.text.scale)
