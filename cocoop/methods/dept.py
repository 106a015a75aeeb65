"""DePT: a prompt method with a second head on unnormalised features (Zhang et al., CVPR 2024; DePT trainers/elp_coop.py)."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.device import number_of
from cocoop.methods.base import Batch, Classifier, Losses, Method, Task, cross_entropy, generator
from cocoop.methods.coop import CoOp
from cocoop.methods.linear import StackedLinear
from cocoop.methods.maple import MaPLe
from cocoop.methods.shared_text import SharedText

RATE = 6.5  # learning rate of the new layers relative to that of the prompts (optim.py:38-80)


class ScaleShift(nn.Module):
    """scale * x + shift for each channel, initially x (elp_maple.py:20-42)."""

    def __init__(self, seeds: int, like: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(like.new_ones(seeds, like.shape[-1]))
        self.shift = nn.Parameter(like.new_zeros(seeds, like.shape[-1]))

    def forward(self, x: Tensor) -> Tensor:
        """(S, B, E) -> (S, B, E)."""
        return self.scale[:, None] * x + self.shift[:, None]


class Head(nn.Module):
    """Logits of the classes trained on, from image or text features that are not normalised."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        generators = [generator(number_of("dept", seed)) for seed in task.seeds]
        self.linear = StackedLinear(task.text.embed_dim, len(task.classnames), generators, task.text)
        self.image, self.text = (ScaleShift(len(task.seeds), self.linear.weight) for _ in range(2))


class Both(SharedText):
    """Among classes trained on: (1 - share) * logits by similarity + share * logits of the second head.

    rows: the classes' places among those trained on.
    """

    def __init__(self, base: SharedText, head: Head, share: float, rows: Sequence[int]) -> None:
        super().__init__(base.raw, base.scale, base.image)
        self.head, self.share, self.rows = head, share, list(rows)

    def __call__(self, inputs: Tensor) -> Tensor:
        image = self.image(inputs)
        linear = self.head.linear(self.head.image(image))[..., self.rows]
        return self.mixed(self.logits(image, self.features()), linear)

    def mixed(self, similarity: Tensor, linear: Tensor) -> Tensor:
        """Both logits (S, B, C), mixed."""
        return (1 - self.share) * similarity + self.share * linear


class DePT(Method):
    """A second head for a prompt method: combine it with one whose classifier is a `SharedText`.

    Loss: (1 - share) * CE(similarity) + share * CE(linear), the latter for the image features and for the text features of the
    images' own classes (elp_coop.py:21-135). Classes trained on are tested with both heads, others by similarity alone.
    """

    def __init__(self, task: Task, *, share: float, **options: Any) -> None:
        super().__init__(task, **options)
        self.share, self.head = share, Head(task)

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        base, trained_on = super().for_classes(classnames), self.task.classnames  # type: ignore[safe-super]
        assert isinstance(base, SharedText)
        if not Counter(classnames) <= Counter(trained_on):
            return base
        return Both(base, self.head, self.share, places_of(classnames, trained_on))

    def losses(self, classify: Both, batch: Batch) -> tuple[Tensor, Losses]:
        image, text = classify.image(batch.inputs), classify.raw()
        similarity = classify.logits(image, F.normalize(text, dim=-1))
        own = text.gather(1, batch.labels[..., None].expand(-1, -1, text.shape[-1]))  # (S, B, E)
        linear = self.head.linear(torch.cat([self.head.image(image), self.head.text(own)], 1))  # (S, 2B, C)
        return classify.mixed(similarity, linear[:, : image.shape[1]]), {
            "similarity": (1 - self.share) * cross_entropy(similarity, batch.labels),
            "linear": self.share * cross_entropy(linear, batch.labels.repeat(1, 2)),
        }

    def parameter_groups(self) -> list[dict[str, Any]]:
        new = list(self.head.parameters())
        prompts = [p for p in self.learned_parameters().values() if not any(p is other for other in new)]
        return [{"params": prompts}, {"params": new, "lr_scale": RATE}]


def places_of(classnames: Sequence[str], trained_on: Sequence[str]) -> list[int]:
    """The place of each class among those trained on. ImageNet has two pairs of classes with the same name: the first that is
    asked for is the first trained on, and the second the second.
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(trained_on):
        places.setdefault(name, []).append(place)
    return [places[name].pop(0) for name in classnames]


class DePTCoOp(DePT, CoOp):
    """DePT on CoOp."""


class DePTMaPLe(DePT, MaPLe):
    """DePT on MaPLe."""
