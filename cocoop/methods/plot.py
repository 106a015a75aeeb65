"""PLOT: several prompts per class, matched to local image features by optimal transport (Chen et al., ICLR 2023; plot-coop).

Line numbers are those of plot-coop/trainers/plot.py.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop.methods.base import Classifier, Method, Task, generator
from cocoop.methods.context import initial_context
from cocoop.methods.shared_text import held


class PLOT(Method):
    """A class's logit is the similarity of its N prompts and an image's L local features, weighted by the transport plan.

    n_prompts: N contexts, shared by the classes; n_ctx: M; epsilon, rounds and threshold: of `sinkhorn`; global_logits: the
    datasets where the logits of the global feature and the averaged prompts are added (230-282).
    """

    def __init__(
        self,
        task: Task,
        *,
        n_prompts: int,
        n_ctx: int,
        epsilon: float,
        rounds: int,
        threshold: float,
        global_logits: Sequence[str],
    ) -> None:
        super().__init__(task)
        self.epsilon, self.rounds, self.threshold = epsilon, rounds, threshold
        self.adds_global = task.dataset in global_logits
        self.ctx = initial_context(task.text, [generator(seed) for seed in task.seeds], n_ctx, None, n_prompts)

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        """A classifier of image features (S, B, 1 + L, E), the global one first."""
        encoder, runs = self.text.encoder(self.text.learnable(classnames, self.ctx.shape[2])), len(self.seeds)
        features = held(lambda: encoder(self.ctx.flatten(0, 1)).unflatten(0, (runs, -1)))  # (S, N, C, E)

        def logits(images: Tensor) -> Tensor:
            text = features().to(images.dtype)
            images = F.normalize(images, dim=-1)
            similarity = self.similarity(images[:, :, 1:], text)
            plan, _ = self.transport(similarity)
            found = torch.einsum("sbcln,sbcln->sbc", plan, similarity)
            if self.adds_global:
                found = found + images[:, :, 0] @ F.normalize(text.mean(1), dim=-1).mT
            return self.text.scale * found

        return logits

    def similarity(self, local: Tensor, text: Tensor) -> Tensor:
        """Cosines (S, B, C, L, N), at least float32, of unit local features (S, B, L, E) and text features (S, N, C, E)."""
        cosines = torch.einsum("sble,snce->sbcln", local, F.normalize(text, dim=-1))
        return cosines.to(torch.promote_types(cosines.dtype, torch.float32))

    def transport(self, similarity: Tensor) -> tuple[Tensor, Tensor]:
        """The plan (S, B, C, L, N), a constant for the gradient, and the rounds (S,) that it took."""
        with torch.autocast(similarity.device.type, enabled=False):
            return sinkhorn(1 - similarity.detach(), self.epsilon, self.rounds, self.threshold)


@torch.no_grad()
def sinkhorn(cost: Tensor, epsilon: float, rounds: int, threshold: float) -> tuple[Tensor, Tensor]:
    """Plans between uniform masses, with entropic regularisation, for costs (S, ..., L, N); rounds (S,) of each seed (214-228).

    A seed stops after `rounds`, or when its scaling of the rows changes by less than `threshold` on average over all its
    images and classes, so an image's plan depends a little on its batch. After each round, the host waits for the device.
    """
    kernel = (-cost / epsilon).exp_()
    rows, columns = kernel.shape[-2:]
    r, c = kernel.new_ones(kernel.shape[:-1]), kernel.new_ones(*kernel.shape[:-2], columns)
    going = torch.ones(len(kernel), dtype=torch.bool, device=kernel.device)
    used = torch.zeros(len(kernel), dtype=torch.long, device=kernel.device)
    for _ in range(rounds):
        before, still = r, going.view(-1, *[1] * (r.ndim - 1))
        r = torch.where(still, 1 / (rows * (kernel @ c[..., None])[..., 0]), r)
        c = torch.where(still, 1 / (columns * (kernel.mT @ r[..., None])[..., 0]), c)
        used += going
        going = going & ((r - before).abs().flatten(1).mean(1) >= threshold)
        if not going.any():
            break
    return kernel.mul_(r[..., None]).mul_(c[..., None, :]), used
