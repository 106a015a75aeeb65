"""Local image features: those of an image's places beside the global one, for methods that need them (PLOT)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.backbone import vision_reading
from cocoop.backbone.model import Backbone, computing
from cocoop.backbone.vision import ImageEncoder
from cocoop.errors import UserError

RESNET = "ModifiedResNet"  # CLIP's


def local_encoder(backbone: Backbone) -> Callable[[Tensor], Tensor]:
    """A function of normalised pixels (B, 3, H, W) that gives the global and L local features (B, 1 + L, E), not normalised.

    A vision transformer's are its patches through the final layer norm and the projection, those of CLIP's ResNet the places
    of the last map through the attention pool (PLOT plot-coop/clip/model.py:84-93). They are float32, on the backbone's
    device, without gradient. Raises a UserError for other image towers.
    """
    if type(backbone.model.visual).__name__ == RESNET:
        return lambda pixels: _resnet_tokens(backbone, pixels)
    if reason := vision_reading.why_fixed(backbone.model):
        raise UserError(
            f"backbone {backbone.spec.name!r}: it has no local image features, because {reason}; "
            "use a vision transformer, such as ViT-B-16, or CLIP's ResNet, such as RN50."
        )
    encoder = ImageEncoder.of(backbone)
    return torch.no_grad()(lambda pixels: encoder.tokens(pixels)[0])


@torch.no_grad()
def _resnet_tokens(backbone: Backbone, pixels: Tensor) -> Tensor:
    visual = backbone.model.visual
    pixels = pixels.to(backbone.device, visual.conv1.weight.dtype, memory_format=torch.channels_last)
    with computing(backbone.device, backbone.spec.precision):
        x = pixels
        for part in (visual.stem, visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            x = part(x)  # (B, D, H / 32, W / 32)
        return _pooled(visual.attnpool, x).float()


def _pooled(pool: nn.Module, x: Tensor) -> Tensor:
    """All tokens of the attention pool (B, 1 + L, E), while its own forward pass returns only the first, of the mean."""
    places = x.flatten(2).mT  # (B, L, D)
    tokens = torch.cat([places.mean(1, keepdim=True), places], 1) + pool.positional_embedding.to(x.dtype)
    qkv = (part(tokens) for part in (pool.q_proj, pool.k_proj, pool.v_proj))
    q, k, v = (t.unflatten(-1, (pool.num_heads, -1)).transpose(1, 2) for t in qkv)
    return pool.c_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
