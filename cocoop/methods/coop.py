"""CoOp: a learned context before the class name, the same for every image (CoOp trainers/coop.py)."""

from collections.abc import Sequence

from cocoop.methods.base import Classifier, Method, Task, generator
from cocoop.methods.context import initial_context
from cocoop.methods.shared_text import SharedText, refuse_other_classes


class CoOp(Method):
    """t_i = {v_1 .. v_M, c_i}; p(y|x) = softmax(sim(x, g(t_y)) / tau) (CoCoOp, section 3.1).

    n_ctx: M; ctx_init: initial words or None; class_token_position: end, middle or front;
    csc: a context per class, for which `classnames` must be those trained on. With initial words every class starts from
    its own copy of them; the reference ignores CSC when words are given and learns one shared context (coop.py:72-90).
    """

    def __init__(self, task: Task, *, n_ctx: int, ctx_init: str | None, class_token_position: str, csc: bool) -> None:
        super().__init__(task)
        self.options = {"words": ctx_init, "position": class_token_position, "shared": not csc}
        self.bound_to = task.classnames if csc else None
        classes = len(task.classnames) if csc else None
        generators = [generator(seed) for seed in task.seeds]
        self.ctx = initial_context(task.text, generators, n_ctx, ctx_init, classes)

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        if self.bound_to is not None:
            refuse_other_classes("class-specific contexts", self.bound_to, classnames)
        encoder = self.text.encoder(self.text.learnable(classnames, self.ctx.shape[-2], **self.options))
        return SharedText(lambda: encoder(self.ctx), self.text.scale)
