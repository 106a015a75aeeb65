"""CoCoOp: a Meta-Net shifts the context depending on the image (CoOp trainers/cocoop.py)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.methods.base import Classifier, Method, Task, generator, unit
from cocoop.methods.context import initial_context
from cocoop.methods.linear import StackedLinear
from cocoop.text.text_encoder import TextEncoder


class MetaNet(nn.Module):
    """h_theta: Linear-ReLU-Linear from the image feature (S, B, E) to one context shift (S, B, D) (cocoop.py:95-99)."""

    def __init__(self, text: TextEncoder, reduction: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        hidden = max(1, text.embed_dim // reduction)
        self.linear1 = StackedLinear(text.embed_dim, hidden, generators, text)
        self.linear2 = StackedLinear(hidden, text.width, generators, text)

    def forward(self, image_features: Tensor) -> Tensor:
        return self.linear2(F.relu(self.linear1(image_features)))


class CoCoOp(Method):
    """v_m(x) = v_m + pi with pi = h_theta(x); the prompt of class i is {v_1(x) .. v_M(x), c_i} (CoCoOp, section 3.2)."""

    def __init__(self, task: Task, *, n_ctx: int, ctx_init: str | None, reduction: int) -> None:
        super().__init__(task)
        generators = [generator(seed) for seed in task.seeds]
        self.ctx_init = ctx_init
        self.ctx = initial_context(task.text, generators, n_ctx, ctx_init)
        self.meta_net = MetaNet(task.text, reduction, generators)

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        encoder = self.text.encoder(self.text.learnable(classnames, self.ctx.shape[1], words=self.ctx_init))

        def logits(image_features: Tensor) -> Tensor:
            image = unit(image_features)  # (S, B, E)
            context = self.ctx[:, None] + self.meta_net(image)[:, :, None]  # (S, B, M, D)
            text = unit(encoder(context.flatten(0, 1)))  # (S * B, C, E)
            text = text.unflatten(0, image.shape[:2]).to(image.dtype)
            return torch.einsum("sbe,sbce->sbc", self.text.scale * image, text)

        return logits
