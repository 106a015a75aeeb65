"""A CLIP of two vision and text transformers as methods get it."""

from typing import Any

import open_clip
import torch
from torch import nn

from cocoop.backbone.model import Backbone
from cocoop.backbone.transforms import Preprocessing
from cocoop.config import BackboneSpec
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER

DEEP = {  # small, with as many layers as ViT-B/16
    "embed_dim": 32, "image_size": 32, "vision_layers": 12, "vision_width": 32, "vision_patch_size": 16, "vision_heads": 2,
    "context_length": 77, "vocab_size": 49408, "text_width": 32, "text_heads": 2, "text_layers": 12, "activation": "quick_gelu",
}  # fmt: skip


def backbone_of(model: nn.Module, architecture: dict[str, Any]) -> Backbone:
    """A model in fp32 with OpenAI's preprocessing."""
    pixels = Preprocessing(architecture["image_size"], open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    scale, width = float(model.logit_scale.detach().exp()), architecture["embed_dim"]
    return Backbone(BackboneSpec("golden", "golden", None), model, pixels, width, scale, "", torch.device("cpu"))


def text_of(model: nn.Module) -> TextEncoder:
    """The exact text encoder."""
    return TextEncoder.fast(TextTower.from_open_clip(model, TOKENIZER.sot, TOKENIZER.eot))
