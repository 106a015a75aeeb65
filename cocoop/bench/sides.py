"""The two sides of the measurement: the same method with the same inputs and the literal or the exact prompt encoder."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from open_clip.transformer import QuickGELU, TextTransformer
from torch import Tensor, nn

from cocoop.bench.cases import Case
from cocoop.bench.plain import PlainText
from cocoop.config.specs import TrainingSpec
from cocoop.images.cached import Cached
from cocoop.images.inputs import TrainingImages
from cocoop.methods.base import Batch, Classifier, Method, Task
from cocoop.methods.cocoop import CoCoOp
from cocoop.methods.coop import CoOp
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tokenizer import byte_pair
from cocoop.text.tower import TextTower
from cocoop.training.loop import Trainer, autocast

GEOMETRY = {
    "context_length": 77,
    "vocab_size": 49408,
    "width": 512,
    "heads": 8,
    "layers": 12,
    "output_dim": 512,
}  # ViT-B/16
CONTEXTS, WORDS = 4, "a photo of a"
SEED = 0
TRAINING = TrainingSpec(1, 1, 0.002, 0, 0.0, 0.9, 0.0005)


class TextModel(nn.Module):
    """A frozen open_clip text tower with random weights and the logit scale of the trained CLIP."""

    def __init__(self, **geometry: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(SEED)
            self.text = TextTransformer(**geometry, act_layer=QuickGELU)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(100.0)))
        self.eval().requires_grad_(False)


@dataclass
class Work:
    """One side of a case, which can run repeatedly.

    images: inputs of the classifier; frozen: computes `Batch.frozen` and `Batch.second` in each step, or gives them.
    """

    case: Case
    method: Method
    classifier: Classifier
    images: Any
    labels: Tensor
    frozen: Callable[[], tuple[Tensor | None, Tensor | None]] = lambda: (None, None)
    training: TrainingSpec = TRAINING

    def __post_init__(self) -> None:
        images = TrainingImages(Cached(self.labels[:, None, :, None]), self.labels, (), {})
        self.trainer = Trainer(self.method, self.classifier, images, self.training, self.case.precision)
        self.method.train()

    def run(self) -> Tensor:
        """Runs a training step and returns its loss, or an evaluation and returns its logits."""
        if self.case.work == "train":
            losses = self.trainer.step(Batch(self.images, self.labels, *self.frozen()))[0]
            return torch.stack(list(losses.values())).sum(0)
        with torch.no_grad(), autocast(self.case.precision, self.labels.device):
            return self.classifier(self.images)

    def outcome(self) -> dict[str, Tensor]:
        """The results that both sides must agree on: the loss and its gradients, or the logits; without dropout."""
        found = self._without_dropout().double()
        if self.case.work == "evaluate":
            return {"logits": found}
        return {"loss": found} | {name: _gradient(p) for name, p in self.method.learned_parameters().items()}

    def _without_dropout(self) -> Tensor:
        self.method.eval()
        try:
            return self.run()
        finally:
            self.method.train()


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad.double()


@dataclass(frozen=True)
class LiteralText(TextEncoder):
    """The authors' computation for prompts that learn. Frozen text features, which do not change from step to step, come from
    the exact encoder, because the authors' way takes minutes for PromptSRC's sixty templates.
    """

    exact: TextEncoder | None = None

    def features(self, texts: Sequence[str]) -> Tensor:
        assert self.exact is not None
        return self.exact.features(texts)


def sides(device: str, geometry: Mapping[str, int], precision: str = "fp32") -> dict[str, TextEncoder]:
    """Both text encoders of a random model with this geometry (arguments of open_clip's TextTransformer)."""
    return sides_of(TextModel(**geometry).to(device), precision)


def sides_of(model: nn.Module, precision: str) -> dict[str, TextEncoder]:
    """Both text encoders of an open_clip model, or of its text tower.

    bf16: the literal side runs under autocast, like the reference with `amp`; the exact side has matrices in bf16.
    """
    tokenizer = byte_pair()
    assert tokenizer.sot is not None and tokenizer.eot is not None  # of CLIP's own byte pairs
    tower = TextTower.from_open_clip(model, tokenizer.sot, tokenizer.eot).in_precision(precision)
    fast = TextEncoder.fast(tower)
    given = {part.name: getattr(fast, part.name) for part in fields(fast) if part.init}
    literal = LiteralText(**given | {"encoder": lambda prompts: PlainText(model, prompts)}, exact=fast)
    return {"literal": literal, "fast": fast}


def class_names(count: int) -> list[str]:
    """The first ImageNet class names from open_clip, repeated after 1000."""
    names = open_clip.IMAGENET_CLASSNAMES
    return [names[i % len(names)] for i in range(count)]


@dataclass
class InTurn:
    """One run after another, as the reference computes several seeds. Results are joined along the axis of seeds."""

    works: Sequence[Work]

    def run(self) -> Tensor:
        return torch.cat([work.run() for work in self.works])

    def outcome(self) -> dict[str, Tensor]:
        found = [work.outcome() for work in self.works]
        return {name: torch.cat([each[name] for each in found]) for name in found[0]}


def work(case: Case, text: TextEncoder, seeds: Sequence[int] = (SEED,)) -> Work:
    """A case with random image features and labels, those of each seed, for seeds in one batch."""
    task = Task(text, tuple(seeds))
    if case.method == "cocoop":
        method: Method = CoCoOp(task, n_ctx=CONTEXTS, ctx_init=WORDS, reduction=16)
    else:
        method = CoOp(task, n_ctx=CONTEXTS, ctx_init=WORDS, class_token_position="end", csc=False)
    inputs = [_inputs(case, text.embed_dim, torch.Generator().manual_seed(seed)) for seed in seeds]
    images, labels = map(torch.stack, zip(*inputs, strict=True))  # (S, B, E) and (S, B)
    classifier = method.for_classes(class_names(case.classes))
    return Work(case, method, classifier, images.to(text.device), labels.to(text.device))


def _inputs(case: Case, width: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    images = F.normalize(torch.randn(case.batch, width, generator=random), dim=-1)
    return images, torch.randint(case.classes, (case.batch,), generator=random)
