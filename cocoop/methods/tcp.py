"""TCP: prompts made from the text feature of each class enter at a deeper layer (Yao et al., CVPR 2024; trainers/tcp.py)."""

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from cocoop.methods.base import Batch, Losses, Method, Task, cross_entropy, generator
from cocoop.methods.cocoop import StackedLinear
from cocoop.methods.context import initial_context
from cocoop.methods.shared_text import SharedText
from cocoop.text.changes import TextChanges
from cocoop.text.text_encoder import TextEncoder

logger = logging.getLogger(__name__)


class ClassMetaNet(nn.Module):
    """Linear-QuickGELU-Linear from text features (C, E) to M class prompts (S, C, M, D) (tcp.py:168-175, 193-196)."""

    def __init__(self, text: TextEncoder, prompts: int, reduction: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        hidden = max(1, text.embed_dim // reduction)
        self.prompts = prompts
        self.linear1 = StackedLinear(text.embed_dim, hidden, generators, text)
        self.linear2 = StackedLinear(hidden, prompts * text.width, generators, text)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.linear1(features.expand(len(self.linear1.weight), -1, -1))
        return self.linear2(hidden * torch.sigmoid(1.702 * hidden)).unflatten(-1, (self.prompts, -1))


class TCP(Method):
    """CoOp's context, in whose places class prompts enter at a deeper layer, and KgCoOp's loss (tcp.py:193-208, 240-260).

    The class prompts are a function of the teacher, the frozen text features of hand-crafted prompts, so new classes have
    theirs, too. In a tower without the layer they never enter, and the Meta-Net learns nothing (clip_text/model.py:244-288).

    n_ctx: M, of the context and of the class prompts; ctx_init: initial words or None; inject_before_block: the layer, from 0;
    inject_weight: 1 replaces the hidden states, less mixes; weight: of 1 - cosine of student and teacher; reduction: of the
    Meta-Net's hidden width; student_templates: by dataset, what follows the context, in place of the template
    from the class name on.
    """

    def __init__(
        self,
        task: Task,
        *,
        n_ctx: int,
        ctx_init: str | None,
        inject_before_block: int,
        inject_weight: float,
        weight: float,
        reduction: int,
        student_templates: Mapping[str, str],
    ) -> None:
        super().__init__(task)
        generators = [generator(seed) for seed in task.seeds]
        self.weight, self.layer, self.share = weight, inject_before_block, inject_weight
        after = task.template[task.template.index("{}") :]
        self.options = {"words": ctx_init, "template": student_templates.get(task.dataset, after)}
        self.ctx = initial_context(task.text, generators, n_ctx, ctx_init)
        self.meta_net = ClassMetaNet(task.text, n_ctx, reduction, generators)
        if not self.enters:
            logger.warning(
                "tcp: the class prompts enter before text layer %d, but the text tower has layers 0 to %d: they never enter; "
                "take a smaller inject_before_block",
                self.layer, task.text.layers - 1,
            )  # fmt: skip

    @property
    def enters(self) -> bool:
        """Whether the text tower has the layer."""
        return self.layer < self.text.layers

    def teacher(self, classnames: Sequence[str]) -> Tensor:
        """Frozen text features (C, E) of length 1."""
        return self.task.hand_crafted(classnames)

    def for_classes(self, classnames: Sequence[str]) -> SharedText:
        encoder = self.text.encoder(self.text.learnable(classnames, self.ctx.shape[1], **self.options))
        teacher = self.teacher(classnames)

        def features() -> Tensor:
            if not self.enters:
                return encoder(self.ctx)
            return encoder(self.ctx, TextChanges({self.layer: self.meta_net(teacher)}, self.share))

        return SharedText(features, self.text.scale)

    def losses(self, classify: SharedText, batch: Batch) -> tuple[Tensor, Losses]:
        text = classify.features()  # (S, C, E), of length 1
        distance = 1 - (text * self.teacher(self.task.classnames)).sum(-1).mean(-1)  # (S,)
        logits = classify.logits(batch.inputs, text)
        return logits, {"cross_entropy": cross_entropy(logits, batch.labels), "knowledge": self.weight * distance}
