"""Deep language prompting: new context tokens at several text layers (multimodal-prompt-learning trainers/independentVL.py)."""

from collections.abc import Sequence

from cocoop.methods.base import Classifier, Method, Task, generator
from cocoop.methods.shared_text import SharedText
from cocoop.methods.text_prompts import TextPrompts


class DeepLanguage(Method):
    """IVLP without image prompts, so it learns from cached image features.

    n_ctx: tokens per layer; ctx_init: initial words or None; depth: number of text layers with new tokens, counted from the first.
    """

    def __init__(self, task: Task, *, n_ctx: int, ctx_init: str | None, depth: int) -> None:
        super().__init__(task)
        self.text_prompts = TextPrompts(task.text, [generator(seed) for seed in task.seeds], n_ctx, depth, ctx_init)

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        return SharedText(self.text_prompts.features(classnames), self.text.scale)
