"""The literal computation the exact encoder is held to: every class, every image, 77 tokens, open_clip's modules called plainly."""

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.text.prompts import Prompts
from cocoop.text.tokenizer import byte_pair


def text_model(width: int, layers: int, heads: int, embed: int = 32, quick_gelu: bool = True, **text) -> nn.Module:
    """A random open_clip CLIP whose text tower has the given geometry; weights large enough to matter."""
    model = open_clip.model.CLIP(
        embed_dim=embed,
        vision_cfg={"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        text_cfg={"width": width, "layers": layers, "heads": heads, **text},
        quick_gelu=quick_gelu,
    )
    for name, tensor in model.named_parameters():
        if tensor.ndim > 1 and "embedding" not in name:
            nn.init.normal_(tensor, std=tensor.shape[-1] ** -0.5)
        elif "embedding" in name:
            nn.init.normal_(tensor, std=0.3)
        elif name.endswith("bias"):
            nn.init.normal_(tensor, std=0.1)
    return model.eval().requires_grad_(False)


def literal_features(model: nn.Module, prompts: Prompts, context: Tensor) -> Tensor:
    """(N, M, D) or (N, C, M, D) -> (N, C, E): one tower pass over the whole context length for each image and class."""
    text = getattr(model, "text", model)
    length = text.positional_embedding.shape[0]
    images = []
    for n in range(len(context)):
        rows, ends = [], []
        for c, entries in enumerate(prompts.classes):
            own = context[n] if context.ndim == 3 else context[n, c]
            ids = torch.tensor([max(e, 0) for e in entries] + [0] * (length - len(entries)))
            vectors = list(text.token_embedding(ids))
            for at, entry in enumerate(entries):
                if entry < 0:
                    vectors[at] = own[-entry - 1]
            rows.append(torch.stack(vectors))
            ends.append(len(entries) - 1)
        x = torch.stack(rows) + text.positional_embedding
        x = text.ln_final(text.transformer(x, attn_mask=text.attn_mask))
        images.append(x[torch.arange(len(rows)), torch.tensor(ends)] @ text.text_projection)
    return torch.stack(images)


def loss_of(features: Tensor) -> Tensor:
    """A scalar that depends on every feature in its own way."""
    weight = torch.linspace(-1, 1, features.numel(), dtype=features.dtype).reshape(features.shape).cos()
    return (F.normalize(features, dim=-1) * weight).sum()


TOKENIZER = byte_pair()
