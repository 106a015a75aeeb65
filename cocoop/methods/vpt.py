"""VPT: learned tokens in the image tower, shallow or deep (Jia et al., ECCV 2022; multimodal-prompt-learning trainers/vpt.py)."""

from collections.abc import Sequence

from cocoop.methods.base import Classifier, Method, Task, generator
from cocoop.methods.image_prompts import ImagePrompts
from cocoop.methods.shared_text import SharedText


class VPT(Method):
    """Image prompts, classified by one hand-crafted prompt that is the same for every dataset.

    vision_n_ctx: tokens per layer; vision_depth: number of layers with new tokens, counted from the first (1: VPT-shallow);
    template: the prompt, in the authors' code "a photo of a {}.".
    """

    def __init__(self, task: Task, *, vision_n_ctx: int, vision_depth: int, template: str) -> None:
        super().__init__(task)
        generators = [generator(seed) for seed in task.seeds]
        self.image_prompts = ImagePrompts(self.image, generators, vision_n_ctx, vision_depth, task.text)
        self.template = template

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        text = self.text.zero_shot(classnames, self.template, "raw")[None]  # (1, C, E)
        return SharedText(lambda: text, self.text.scale, self.image_prompts.features)
