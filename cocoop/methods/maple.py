"""MaPLe: prompts of both towers, coupled by linear maps (Khattak et al., CVPR 2023; the authors' trainers/maple.py)."""

from collections.abc import Sequence
from copy import deepcopy

from torch import Tensor, nn

from cocoop.backbone.vision import ImageEncoder
from cocoop.backbone.vision_changes import ImageChanges
from cocoop.methods.base import Classifier, Method, Task, generator
from cocoop.methods.context import refuse_depth
from cocoop.methods.linear import StackedLinear
from cocoop.methods.shared_text import SharedText
from cocoop.methods.text_prompts import TextPrompts


class MaPLe(Method):
    """Text prompts of layers 0 to depth - 1; the image prompts of a layer are a linear map of its text prompts.

    n_ctx: M; ctx_init: initial words or None; depth: number of layers with prompts, counted from the first.
    """

    def __init__(self, task: Task, *, n_ctx: int, ctx_init: str | None, depth: int) -> None:
        super().__init__(task)
        self.encoder = ImageEncoder.of(self.image)
        refuse_depth(depth, "image", self.encoder.layers)
        generators = [generator(seed) for seed in task.seeds]
        self.prompts = TextPrompts(task.text, generators, n_ctx, depth, ctx_init)
        widths = task.text.width, self.encoder.width
        first, deeper = (StackedLinear(*widths, generators, task.text) for _ in range(2))
        # The maps of the deeper layers are copies of one layer (maple.py:113-116), so they start equal.
        self.projections = nn.ModuleList([first, *(deepcopy(deeper) for _ in range(depth - 1))])

    def image_features(self, pixels: Tensor) -> Tensor:
        """Features (S, B, E) of pixels (S, B, 3, H, W)."""
        pairs = zip(self.projections, self.prompts, strict=True)
        tokens = {layer: project(prompts) for layer, (project, prompts) in enumerate(pairs)}
        return self.encoder.encode(pixels, ImageChanges(deep_prompts=tokens)).features

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        return SharedText(self.prompts.features(classnames), self.text.scale, self.image_features)
