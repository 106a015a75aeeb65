"""IVLP: independent prompts in both towers (Khattak et al., CVPR 2023; multimodal-prompt-learning trainers/independentVL.py)."""

from collections.abc import Sequence

from cocoop.methods.base import Method, Task, generator
from cocoop.methods.image_prompts import ImagePrompts
from cocoop.methods.shared_text import SharedText
from cocoop.methods.text_prompts import TextPrompts


class IVLP(Method):
    """Text prompts and image prompts that share nothing.

    n_ctx, depth: tokens per text layer, and number of text layers with new tokens, counted from the first; ctx_init: initial words
    or None; vision_n_ctx, vision_depth: the same for the image tower.
    """

    def __init__(
        self, task: Task, *, n_ctx: int, ctx_init: str | None, depth: int, vision_n_ctx: int, vision_depth: int
    ) -> None:
        super().__init__(task)
        generators = [generator(seed) for seed in task.seeds]
        self.text_prompts = TextPrompts(task.text, generators, n_ctx, depth, ctx_init)
        self.image_prompts = ImagePrompts(self.image, generators, vision_n_ctx, vision_depth, task.text)

    def for_classes(self, classnames: Sequence[str]) -> SharedText:
        return SharedText(self.text_prompts.features(classnames), self.text.scale, self.image_prompts.features)
