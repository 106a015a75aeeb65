"""LP++: a linear probe on image features and, weighted by class, on text features (Huang et al., CVPR 2024;
FewShot-CLIP-Strong-Baseline methods/linear_probe_p2.py)."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.methods.base import FewShot, Task, cross_entropy, generator, like_linear
from cocoop.methods.class_head import ClassHead
from cocoop.methods.selection import right

MOMENTUM = 0.9
ALPHA_EVERY = 10  # epochs


class LPP(ClassHead):
    """Logits f·w_c + b_c + alpha_c f·t_c with unit vectors f and t and no temperature (linear_probe_p2.py:94-158).

    epochs: steps, each on all images; alpha_scale: initial alpha, in units of the mean cosine of images and their class.
    """

    name = "LP++"

    def __init__(self, task: Task, *, epochs: int, alpha_scale: float) -> None:
        super().__init__(task)
        self.epochs, self.alpha_scale, device = epochs, alpha_scale, task.text.device
        shape, width = (len(task.seeds), len(task.classnames)), task.text.embed_dim
        self.weight = nn.Parameter(torch.zeros(*shape, width, device=device))
        bias = like_linear(shape[1:], width, [generator(seed) for seed in task.seeds], task.text)
        self.bias = nn.Parameter(bias.detach().float())
        self.alpha = nn.Parameter(torch.zeros(shape, device=device))
        self.choose("epoch", epochs)

    def fit(self, few_shot: FewShot) -> None:
        """Trains. If the run selects, takes the last epoch with the most right validation images, else the last of all."""
        assert few_shot.features is not None  # inputs: features
        image = few_shot.features[:, 0].float()  # one view, as the authors
        self.start(image, few_shot.labels)
        most, best = torch.full_like(self.epoch, -1), {name: t.clone() for name, t in self.tensors().items()}
        for epoch, _ in enumerate(self.descend(image, few_shot.labels), 1):
            if few_shot.val_features is None or few_shot.val_labels is None:
                continue
            with torch.no_grad():
                counts = right(self.logits(few_shot.val_features), few_shot.val_labels).to(most)
            better = counts >= most
            most[better], self.epoch[better] = counts[better], epoch
            for name, tensor in self.tensors().items():
                best[name][better] = tensor[better]
        if few_shot.val_features is not None:
            for name, tensor in self.tensors().items():
                tensor.copy_(best[name])

    def tensors(self) -> dict[str, Tensor]:
        """The learned tensors without gradient."""
        return {name: parameter.detach() for name, parameter in self.learned_parameters().items()}

    @torch.no_grad()
    def start(self, image: Tensor, labels: Tensor) -> None:
        """A class's weight is the sum of its image features, alpha their mean cosine with its text, averaged over the classes
        (linear_probe_p2.py:24-31). image (S, N, E), labels (S, N).
        """
        image = F.normalize(image, dim=-1)
        members = F.one_hot(labels, self.weight.shape[1]).to(image.dtype).mT  # (S, C, N)
        self.weight.copy_(members @ image)
        count = members.sum(-1)  # (S, C)
        cosines = (self.weight * self.text_features()).sum(-1) / count.clamp(min=1)
        self.alpha.copy_((self.alpha_scale * cosines.sum(1) / (count > 0).sum(1))[:, None].expand_as(self.alpha))

    def rates(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Step sizes (S,) of weight and bias, and of alpha (linear_probe_p2.py:16-22,33-39). image (S, N, E)."""
        image = F.normalize(image, dim=-1)
        images = image.shape[1]
        largest = torch.linalg.eigvalsh(image.mT @ image)[:, -1]
        explained = (image @ self.text_features().mT).square().sum(1).amax(1)
        return 4 * images / largest, images / (4 * explained)

    def descend(self, image: Tensor, labels: Tensor) -> Iterator[Tensor]:
        """Trains; yields the loss (S,) of each epoch after its step. image (S, N, E), labels (S, N).

        Every tenth epoch, alpha moves along the sum of its gradients in all epochs so far, which the code never clears.
        """
        (rate, alpha_rate), total = self.rates(image), torch.zeros_like(self.alpha)
        moved = [(self.weight, torch.zeros_like(self.weight)), (self.bias, torch.zeros_like(self.bias))]
        for epoch in range(1, self.epochs + 1):
            loss = cross_entropy(self.logits(image), labels)
            *gradients, of_alpha = torch.autograd.grad(loss.sum(), [self.weight, self.bias, self.alpha])
            with torch.no_grad():
                for (parameter, velocity), gradient in zip(moved, gradients, strict=True):
                    velocity.mul_(MOMENTUM).add_(gradient)
                    parameter.sub_(rate.view(-1, *[1] * (parameter.ndim - 1)) * velocity)
                total += of_alpha
                if epoch % ALPHA_EVERY == 0:
                    self.alpha.sub_(alpha_rate[:, None] * total)
            yield loss.detach()

    def text_features(self) -> Tensor:
        """Unit hand-crafted text features (C, E) of the training classes."""
        return F.normalize(self.task.hand_crafted(self.task.classnames).float(), dim=-1)

    def logits(self, image: Tensor) -> Tensor:
        image = F.normalize(image.float(), dim=-1)
        of_text = self.alpha[:, None] * (image @ self.text_features().mT)
        return torch.baddbmm(self.bias[:, None], image, self.weight.mT) + of_text
