"""Reads the image tower of an open_clip model, or gives the reason why methods cannot change it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.backbone.vision_tower import Affine, Layer, Norm, Rows, VisionTower


def read(model: nn.Module) -> VisionTower:
    """The image tower of an open_clip model for which `why_fixed` returns None. Tensors are shared, not copied."""
    visual = model.visual
    return _from_timm(visual) if type(visual).__name__ == "TimmModel" else _from_open_clip(visual)


def why_fixed(model: nn.Module) -> str | None:
    """The reason why methods cannot change a model's image tower, for a message; None if they can."""
    visual = model.visual
    name = type(visual).__name__
    if name == "TimmModel":
        return _why_fixed_timm(visual)
    if name != "VisionTransformer":
        return f"its image tower is a {name}, not a vision transformer"
    if getattr(visual, "output_tokens", False):
        return "it is a CoCa model, whose image tower also returns tokens for its decoder"
    if visual.attn_pool is not None:
        return "its image feature is pooled by attention"
    if visual.pool_type not in ("tok", "avg"):
        return f"its image feature is pooled by {visual.pool_type!r}"
    odd = next((b for b in visual.transformer.resblocks if not _is_plain_block(b)), None)
    return odd and f"its layers are {type(odd).__name__}s with additional norms or scales"


def is_plain(attention: nn.Module | None) -> bool:
    """Whether an attention is softmax(q k / sqrt(d)) v between two linear maps, without norms or scales of its own."""
    if isinstance(attention, nn.MultiheadAttention):
        return True
    scales = (getattr(attention, name, None) for name in ("logit_scale", "head_scale"))
    norms = (getattr(attention, name, None) for name in ("ln_q", "ln_k", "ln_inner"))
    plain = all(scale is None for scale in scales) and all(isinstance(n, nn.Identity | None) for n in norms)
    return type(attention).__name__ == "Attention" and plain


def _is_plain_block(block: nn.Module) -> bool:
    return type(block).__name__ == "ResidualAttentionBlock" and is_plain(block.attn)


def _from_open_clip(visual: nn.Module) -> VisionTower:
    conv, width = visual.conv1, visual.conv1.out_channels
    filters, first = conv.weight.detach(), visual.class_embedding.detach()
    positions, post = visual.positional_embedding.detach(), _norm(visual.ln_post)

    def embed(pixels: Tensor) -> Tensor:
        patches = F.conv2d(pixels, filters, stride=conv.stride).flatten(2).mT  # (B, P, D)
        tokens = torch.cat([first.to(patches.dtype).expand(len(patches), 1, width), patches], 1)
        return tokens + positions.to(patches.dtype)

    return VisionTower(
        width=width,
        embed_dim=visual.proj.shape[1],
        embed=embed,
        ln_pre=_norm(visual.ln_pre),
        layers=[_open_clip_layer(block) for block in visual.transformer.resblocks],
        norm_tokens=_same if visual.final_ln_after_pool else post,
        norm_pooled=post if visual.final_ln_after_pool else _same,
        mean_pool=visual.pool_type == "avg",
        head=Affine(visual.proj.detach().T, None),
    )


def _open_clip_layer(block: nn.Module) -> Layer:
    attention, mlp = block.attn, block.mlp
    return Layer(
        heads=attention.num_heads,
        norm_1=_norm(block.ln_1),
        norm_2=_norm(block.ln_2),
        qkv=Affine(attention.in_proj_weight.detach(), attention.in_proj_bias.detach()),
        out=Affine.of(attention.out_proj),
        fc=Affine.of(mlp.c_fc),
        proj=Affine.of(mlp.c_proj),
        activation=mlp.gelu,
        quick=type(mlp.gelu).__name__ == "QuickGELU",
        scale_1=_scale(block.ls_1),
        scale_2=_scale(block.ls_2),
    )


def _why_fixed_timm(visual: nn.Module) -> str | None:
    trunk = visual.trunk
    name = type(trunk).__name__
    if name not in ("VisionTransformer", "Eva"):
        return f"its image tower is timm's {name}, not a plain vision transformer"
    if trunk.attn_pool is not None or trunk.global_pool not in ("token", "avg"):
        return f"its image feature is pooled by {'attention' if trunk.attn_pool is not None else trunk.global_pool}"
    if trunk.cls_token is None or trunk.num_prefix_tokens != 1 or getattr(trunk, "pool_include_prefix", False):
        return "its image tower has no class token, or additional ones"
    if getattr(trunk, "rope", None) is not None:
        return "its attention rotates queries and keys by the position of their patch"
    odd = next((reason for block in trunk.blocks if (reason := _odd_timm_block(block))), None)
    return odd or (None if len(_heads(visual)) <= 1 else "its projection has a hidden layer")


def _odd_timm_block(block: nn.Module) -> str | None:
    if type(block).__name__ not in ("Block", "EvaBlock"):
        return f"its layers are timm's {type(block).__name__}s"
    attention, mlp = block.attn, block.mlp
    if (
        type(attention).__name__ not in ("Attention", "EvaAttention")
        or attention.qkv is None
        or attention.gate is not None
    ):
        return f"its attention is timm's {type(attention).__name__} with separate matrices"
    if type(mlp).__name__ != "Mlp":
        return f"its MLP is timm's {type(mlp).__name__}"
    inner = (attention.q_norm, attention.k_norm, attention.norm, mlp.norm)
    if not all(isinstance(module, nn.Identity) for module in inner):
        return "its layers have norms inside their attention or MLP"
    outer = (block.norm1, block.norm2)
    return None if all(isinstance(norm, nn.LayerNorm) for norm in outer) else "its norms are not layer norms"


def _from_timm(visual: nn.Module) -> VisionTower:
    trunk, heads = visual.trunk, _heads(visual)
    return VisionTower(
        width=trunk.embed_dim,
        embed_dim=heads[0].out_features if heads else trunk.embed_dim,
        embed=lambda pixels: _first(trunk._pos_embed(trunk.patch_embed(pixels))),
        ln_pre=_norm(trunk.norm_pre),
        layers=[_timm_layer(block) for block in trunk.blocks],
        norm_tokens=_norm(trunk.norm),
        norm_pooled=_norm(trunk.fc_norm),
        mean_pool=trunk.global_pool == "avg",
        head=Affine.of(heads[0]) if heads else None,
    )


def _timm_layer(block: nn.Module) -> Layer:
    attention, mlp = block.attn, block.mlp
    return Layer(
        heads=attention.num_heads,
        norm_1=_norm(block.norm1),
        norm_2=_norm(block.norm2),
        qkv=_timm_qkv(attention),
        out=Affine.of(attention.proj),
        fc=Affine.of(mlp.fc1),
        proj=Affine.of(mlp.fc2),
        activation=mlp.act,
        scale_1=_scale(getattr(block, "ls1", None), getattr(block, "gamma_1", None)),
        scale_2=_scale(getattr(block, "ls2", None), getattr(block, "gamma_2", None)),
    )


def _timm_qkv(attention: nn.Module) -> Affine:
    if getattr(attention, "q_bias", None) is None:
        return Affine.of(attention.qkv)
    bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
    return Affine(attention.qkv.weight.detach(), bias.detach())


def _heads(visual: nn.Module) -> list[nn.Linear]:
    """The matrices after pooling."""
    return [m for part in (visual.trunk.head, visual.head) for m in part.modules() if isinstance(m, nn.Linear)]


def _norm(module: nn.Module) -> Rows:
    if isinstance(module, nn.Identity):
        return _same
    return Norm(module.weight.detach(), None if module.bias is None else module.bias.detach(), module.eps)


def _scale(module: nn.Module | None, gamma: Tensor | None = None) -> Tensor | None:
    gamma = getattr(module, "gamma", gamma)
    return None if gamma is None else gamma.detach()


def _same(x: Tensor) -> Tensor:
    return x


def _first(x: Tensor | tuple[Tensor, ...]) -> Tensor:
    return x[0] if isinstance(x, tuple) else x
