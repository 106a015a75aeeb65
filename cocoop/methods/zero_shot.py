"""Zero-shot CLIP: one hand-crafted prompt per class (CoOp trainers/zsclip.py)."""

from collections.abc import Sequence

from cocoop.methods.base import Classifier, Method
from cocoop.methods.shared_text import SharedText


class ZeroShot(Method):
    """Nothing is learned; the dataset's templates give the prompts."""

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        templates = self.task.templates
        average = "unit" if len(templates) > 1 else "raw"  # of a single one, the classifier normalises the feature
        text = self.text.zero_shot(classnames, templates, average)[None]  # (1, C, E)
        return SharedText(lambda: text, self.text.scale)
