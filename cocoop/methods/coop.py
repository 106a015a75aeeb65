"""CoOp: a learned context in front of the class name, the same for every image (CoOp trainers/coop.py)."""

from collections.abc import Sequence

from cocoop.methods.base import Classifier, Method, SharedText, generator, refuse_other_classes
from cocoop.methods.context import initial_context
from cocoop.text.text_encoder import TextEncoder


class CoOp(Method):
    """t_i = {v_1 .. v_M, c_i}; p(y|x) = softmax(sim(x, g(t_y)) / tau) (CoCoOp, section 3.1).

    contexts: M; words: initial words or None; position: of the class name's context (end, middle, front);
    class_specific: a context per class, for which `classnames` must be those trained on. With initial words every class
    starts from its own copy of them; the reference ignores CSC when words are given and learns one shared context
    (coop.py:72-90).
    """

    def __init__(
        self,
        text: TextEncoder,
        seeds: Sequence[int],
        template: str,
        *,
        contexts: int,
        words: str | None,
        position: str,
        class_specific: bool,
        classnames: Sequence[str] = (),
    ) -> None:
        super().__init__(text, seeds, template)
        self.options = {"words": words, "position": position, "shared": not class_specific}
        self.bound_to = tuple(classnames) if class_specific else None
        classes = len(classnames) if class_specific else None
        self.ctx = initial_context(text, [generator(seed) for seed in seeds], contexts, words, classes)

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        if self.bound_to is not None:
            refuse_other_classes("class-specific contexts", self.bound_to, classnames)
        encoder = self.text.encoder(self.text.learnable(classnames, self.ctx.shape[-2], **self.options))
        return SharedText(lambda: encoder(self.ctx), self.text.scale)
