"""CoOp: a learned context in front of the class name, the same for every image (CoOp trainers/coop.py)."""

from collections.abc import Sequence

from cocoop.methods.base import Classifier, Method, SharedText, generator, refuse_other_classes
from cocoop.methods.context import initial_context
from cocoop.text.text_encoder import TextEncoder


class CoOp(Method):
    """t_i = {v_1 .. v_M, c_i}; p(y|x) = softmax(sim(x, g(t_y)) / tau) (CoCoOp, section 3.1).

    n_ctx: M; ctx_init: initial words or None; class_token_position: end, middle or front;
    csc: a context per class, for which `classnames` must be those trained on. With initial words every class starts from
    its own copy of them; the reference ignores CSC when words are given and learns one shared context (coop.py:72-90).
    """

    def __init__(
        self,
        text: TextEncoder,
        seeds: Sequence[int],
        template: str,
        *,
        n_ctx: int,
        ctx_init: str | None,
        class_token_position: str,
        csc: bool,
        classnames: Sequence[str] = (),
    ) -> None:
        super().__init__(text, seeds, template)
        self.options = {"words": ctx_init, "position": class_token_position, "shared": not csc}
        self.bound_to = tuple(classnames) if csc else None
        classes = len(classnames) if csc else None
        self.ctx = initial_context(text, [generator(seed) for seed in seeds], n_ctx, ctx_init, classes)

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        if self.bound_to is not None:
            refuse_other_classes("class-specific contexts", self.bound_to, classnames)
        encoder = self.text.encoder(self.text.learnable(classnames, self.ctx.shape[-2], **self.options))
        return SharedText(lambda: encoder(self.ctx), self.text.scale)
