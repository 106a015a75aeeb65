"""Zero-shot CLIP: hand-crafted prompts for each class, whose features are averaged (CoOp trainers/zsclip.py)."""

from collections.abc import Sequence

from cocoop.methods.base import Classifier, Method
from cocoop.methods.shared_text import SharedText


class ZeroShot(Method):
    """Nothing is learned; the prompts are those of `prompts_from`."""

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        text = self.task.hand_crafted(classnames)[None]  # (1, C, E)
        return SharedText(lambda: text, self.text.scale)
