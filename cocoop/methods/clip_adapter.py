"""CLIP-Adapter: a small network behind the image tower (Gao et al., IJCV 2023; CLIP-Adapter clip_adapter.py)."""

from collections.abc import Sequence

from cocoop.methods.base import Classifier, Method, Task, generator
from cocoop.methods.feature_adapter import FeatureAdapter
from cocoop.methods.shared_text import SharedText


class CLIPAdapter(Method):
    """Adapted image features, classified by hand-crafted prompts (clip_adapter.py:97-115). Options: as FeatureAdapter's."""

    def __init__(self, task: Task, *, ratio: float, reduction: int) -> None:
        super().__init__(task)
        self.adapter = FeatureAdapter(task.text, [generator(seed) for seed in task.seeds], ratio, reduction)

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        text = self.task.hand_crafted(classnames)[None]  # (1, C, E)
        return SharedText(lambda: text, self.text.scale, self.adapter)
