"""The frozen text tower as plain tensors for the exact prompt encoder, saved once per backbone.

Jobs that train or evaluate on cached features read this file; they never build the image tower or import open_clip.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.backbone.products import linear

BLOCK_TENSORS = {
    "ln_1.weight": "ln_1_weight",
    "ln_1.bias": "ln_1_bias",
    "attn.in_proj_weight": "in_weight",
    "attn.in_proj_bias": "in_bias",
    "attn.out_proj.weight": "out_weight",
    "attn.out_proj.bias": "out_bias",
    "ln_2.weight": "ln_2_weight",
    "ln_2.bias": "ln_2_bias",
    "mlp.c_fc.weight": "fc_weight",
    "mlp.c_fc.bias": "fc_bias",
    "mlp.c_proj.weight": "proj_weight",
    "mlp.c_proj.bias": "proj_bias",
}
LINEAR_TENSORS = tuple(name for name in BLOCK_TENSORS.values() if not name.startswith("ln_"))
LINEAR_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
QUICK = 1.702
TOP_TENSORS = ("token_embedding", "positional_embedding", "ln_final_weight", "ln_final_bias", "text_projection")


@dataclass(frozen=True)
class TowerFacts:
    """Facts that the tensors lack. activation: quick_gelu, gelu, or silu (a folded quick_gelu); scale: exp(logit_scale)."""

    heads: int
    layers: int
    context_length: int
    activation: str
    epsilon: float
    scale: float
    sot: int
    eot: int


class Block(nn.Module):
    """The weights of a residual attention block as buffers. Linear weights are (out, in)."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        for name in BLOCK_TENSORS.values():
            self.register_buffer(name, tensors[name])


class TextTower(nn.Module):
    """A causal CLIP text tower: embeddings (77, D), blocks, final layer norm and projection (D, E), all as buffers."""

    def __init__(self, facts: TowerFacts, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.facts = facts
        for name in TOP_TENSORS:
            self.register_buffer(name, tensors[name])
        self.blocks: Sequence[Block] = nn.ModuleList(  # type: ignore[assignment]  # torch calls them Modules
            Block({name: tensors[f"blocks.{layer}.{name}"] for name in BLOCK_TENSORS.values()})
            for layer in range(facts.layers)
        )

    @property
    def width(self) -> int:
        """D, the width of a token."""
        return self.positional_embedding.shape[1]

    @property
    def embed_dim(self) -> int:
        """E, the width of a text feature."""
        return self.text_projection.shape[1]

    def mlp(self, block: Block, x: Tensor) -> Tensor:
        """The MLP of rows x (T, D). QuickGELU, x * sigmoid(1.702 x) (CLIP model.py:164), is silu(1.702 x) / 1.702.

        The factors are folded into the weights (`in_precision`) or into the matrix products, which leaves one fused function
        instead of eleven passes of plain autograd.
        """
        x = x.to(block.fc_weight.dtype)
        if self.facts.activation == "quick_gelu":
            hidden = F.silu(torch.addmm(block.fc_bias, x, block.fc_weight.T, beta=QUICK, alpha=QUICK))
            return torch.addmm(block.proj_bias, hidden, block.proj_weight.T, alpha=1 / QUICK)
        activation = F.gelu if self.facts.activation == "gelu" else F.silu
        return linear(activation(linear(x, block.fc_weight, block.fc_bias)), block.proj_weight, block.proj_bias)

    @classmethod
    def from_open_clip(cls, model: nn.Module, sot: int, eot: int) -> "TextTower":
        """Takes the tensors of an open_clip model for which `literal.why_literal` returns None."""
        text = getattr(model, "text", model)
        blocks = text.transformer.resblocks
        activation = blocks[0].mlp.gelu
        facts = TowerFacts(
            heads=blocks[0].attn.num_heads,
            layers=len(blocks),
            context_length=text.positional_embedding.shape[0],
            activation="quick_gelu" if type(activation).__name__ == "QuickGELU" else "gelu",
            epsilon=text.ln_final.eps,
            scale=math.exp(model.logit_scale.item()),
            sot=sot,
            eot=eot,
        )
        tensors = {
            "token_embedding": text.token_embedding.weight,
            "positional_embedding": text.positional_embedding,
            "ln_final_weight": text.ln_final.weight,
            "ln_final_bias": text.ln_final.bias,
            "text_projection": _projection(text),
        }
        for layer, block in enumerate(blocks):
            state = dict(block.named_parameters())
            tensors |= {f"blocks.{layer}.{ours}": state[theirs] for theirs, ours in BLOCK_TENSORS.items()}
        return cls(facts, {name: tensor.detach().clone() for name, tensor in tensors.items()})

    def in_precision(self, precision: str) -> "TextTower":
        """Converts weights to a precision. Embeddings and layer norms do not change, except for reference-fp16.

        fp32: folds QuickGELU's factors into the MLP's weights.
        bf16, fp16: converts matrices and their biases once, while autocast would do it in every step.
        reference-fp16: converts everything except layer norms to half precision, as the authors ran CLIP (CLIP model.py:371-392).
        """
        if precision in LINEAR_TYPES:
            for block in self.blocks:
                for name in LINEAR_TENSORS:
                    getattr(block, name).data = getattr(block, name).to(LINEAR_TYPES[precision])
            self.text_projection.data = self.text_projection.to(LINEAR_TYPES[precision])
        elif precision == "reference-fp16":
            for name, buffer in self.named_buffers():
                if "ln_" not in name:
                    buffer.data = buffer.data.half()
        elif self.facts.activation == "quick_gelu":
            for block in self.blocks:
                block.fc_weight, block.fc_bias = QUICK * block.fc_weight, QUICK * block.fc_bias
                block.proj_weight = block.proj_weight / QUICK
            self.facts = replace(self.facts, activation="silu")
        return self

    @classmethod
    def from_file(cls, tensors: dict[str, Tensor], facts: dict) -> "TextTower":
        """Recreates the tower from its saved `state_dict` and facts."""
        return cls(TowerFacts(**facts), tensors)


def _projection(text: nn.Module) -> Tensor:
    if text.text_projection is None:
        return torch.eye(text.ln_final.weight.shape[0])
    if isinstance(text.text_projection, nn.Linear):
        return text.text_projection.weight.T
    return text.text_projection
