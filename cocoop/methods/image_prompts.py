"""Learned tokens at several layers of the image tower (multimodal-prompt-learning clip/model.py:191-256, 362-422)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cocoop.backbone.model import Backbone
from cocoop.backbone.vision import ImageEncoder
from cocoop.backbone.vision_changes import ImageChanges
from cocoop.methods.context import drawn, refuse_depth
from cocoop.text.text_encoder import TextEncoder


class ImagePrompts(nn.ParameterList):
    """Tokens (S, M, D) of image layers 0 to depth - 1, random at the start.

    Those of layer 0 stand beside the patches; at the input of each further layer, new tokens replace them.
    """

    def __init__(
        self, backbone: Backbone, generators: Sequence[torch.Generator], n_ctx: int, depth: int, text: TextEncoder
    ) -> None:
        encoder = ImageEncoder.of(backbone)
        refuse_depth(depth, "image", encoder.layers)
        super().__init__([drawn((n_ctx, encoder.width), generators, text) for _ in range(depth)])
        self.encoder = encoder

    def features(self, pixels: Tensor) -> Tensor:
        """Features (S, B, E), not normalised, of pixels (S, B, 3, H, W)."""
        return self.encoder.encode(pixels, ImageChanges(deep_prompts=dict(enumerate(self)))).features
