"""Random image towers in small, and the literal computation that changes of them are held to: open_clip's modules with hooks."""

import contextlib
from collections.abc import Iterator
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.backbone.vision_changes import ImageChanges, LowRank

GEOMETRY = {"image_size": 32, "patch_size": 8, "layers": 4, "width": 32, "head_width": 8}
TEXT = {"context_length": 8, "vocab_size": 16, "width": 16, "heads": 2, "layers": 1}
VARIANTS = {  # every kind of vision transformer that open_clip builds and methods can change
    "quick_gelu": {"quick_gelu": True},
    "gelu": {},
    "tanh_gelu": {"act_kwargs": {"approximate": "tanh"}},
    "layer_scale": {"ls_init_value": 0.3},
    "no_ln_pre": {"no_ln_pre": True, "norm_kwargs": {"eps": 1e-6}},
    "mean_pool": {"pool_type": "avg"},
    "norm_behind_mean": {"pool_type": "avg", "final_ln_after_pool": True},
    "norm_behind_class_token": {"final_ln_after_pool": True, "mlp_ratio": 2.5},
    "patch_dropout": {"patch_dropout": 0.5, "patch_size": 16},
    "fixed_positions": {"pos_embed_type": "sin_cos_2d", "layers": 2},
}


def model(quick_gelu: bool = False, seed: int = 0, dtype: torch.dtype = torch.float64, **vision: Any) -> nn.Module:
    """A random CLIP in eval mode, its weights large enough to matter."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        made = open_clip.model.CLIP(16, GEOMETRY | vision, TEXT, quick_gelu=quick_gelu)
        return shaken(made).to(dtype)


def shaken(made: nn.Module) -> nn.Module:
    """Random weights of such a size that every part shows in the result, from torch's generator."""
    for name, tensor in made.visual.named_parameters():
        if tensor.ndim > 1 and "embed" not in name:
            nn.init.normal_(tensor, std=tensor[0].numel() ** -0.5)
        elif name.endswith("bias") or "embed" in name or "token" in name:
            nn.init.normal_(tensor, std=0.3)
        else:  # layer norms and scales
            nn.init.normal_(tensor, mean=float(tensor.detach().mean()), std=0.1)
    return made.eval().requires_grad_(False)


class Literal:
    """One seed's features by open_clip's own forward pass, with hooks that do what the authors' towers do."""

    def __init__(self, model: nn.Module, changes: ImageChanges) -> None:
        self.visual, self.changes = model.visual, changes
        self.counts: dict[str, int] = {}
        self.inserted: Tensor | None = None

    def features(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, E)."""
        with contextlib.ExitStack() as stack:
            for hook in self._hooks():
                stack.callback(hook.remove)
            stack.enter_context(self._attentions())
            return self.visual(pixels)

    def _hooks(self) -> Iterator[Any]:
        blocks = self.visual.transformer.resblocks
        yield self.visual.ln_pre.register_forward_pre_hook(lambda _, x: self._enter("deep_prompts", 0, x[0]))
        for layer, block in enumerate(blocks):
            yield block.register_forward_pre_hook(lambda _, x, layer=layer: self._before(layer, x[0]))
            if layer in self.changes.adapters:
                yield block.register_forward_hook(
                    lambda block, x, y, layer=layer: y + self._adapted(layer, block.ln_1(x[0]))
                )
            for name, module in (("fc", block.mlp.c_fc), ("proj", block.mlp.c_proj)):
                if delta := self.changes.deltas.get((layer, name)):
                    yield module.register_forward_hook(lambda _, x, y, delta=delta: y + addition(delta, x[0]))
        yield self.visual.transformer.register_forward_hook(lambda _, x, y: self._leave(y))

    def _before(self, layer: int, x: Tensor) -> Tensor:
        if layer:
            x = self._enter("deep_prompts", layer, x)
        return self._enter("inserted", layer, x)

    def _enter(self, name: str, layer: int, x: Tensor) -> Tensor:
        """Deep prompts stand at the end, inserted tokens behind the class token, as in the authors' codes."""
        tokens = getattr(self.changes, name).get(layer)
        if tokens is None:
            return x
        count, tokens = self.counts.get(name, 0), tokens[0].expand(len(x), -1, -1)
        self.counts[name] = tokens.shape[1]
        if name == "deep_prompts":
            return torch.cat([x[:, : x.shape[1] - count], tokens], 1)
        return torch.cat([x[:, :1], tokens, x[:, 1 + count :]], 1)

    def _leave(self, x: Tensor) -> Tensor:
        deep, inserted = (self.counts.get(name, 0) for name in ("deep_prompts", "inserted"))
        self.inserted = self.visual.ln_post(x[:, 1 : 1 + inserted])
        return torch.cat([x[:, :1], x[:, 1 + inserted : x.shape[1] - deep]], 1)

    def _adapted(self, layer: int, normed: Tensor) -> Tensor:
        return self.changes.adapters[layer](normed[None])[0]

    @contextlib.contextmanager
    def _attentions(self) -> Iterator[None]:
        """Attention as separate matrices where some have additions (CLIP-LoRA, loralib/layers.py)."""
        changed = {layer: self.visual.transformer.resblocks[layer] for layer, _ in self.changes.deltas}
        for layer, block in changed.items():
            block.attention = lambda q_x, layer=layer, block=block, **_: self._attention(layer, block.attn, q_x)
        try:
            yield
        finally:
            for block in changed.values():
                del block.attention

    def _attention(self, layer: int, module: nn.MultiheadAttention, x: Tensor) -> Tensor:
        weights, biases = module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3)
        deltas = [self.changes.deltas.get((layer, name)) for name in "qkvo"]
        parts = [F.linear(x, w, b) + addition(d, x) for w, b, d in zip(weights, biases, deltas, strict=False)]
        q, k, v = (part.unflatten(-1, (module.num_heads, -1)).transpose(1, 2) for part in parts)
        seen = ((q @ k.mT) / q.shape[-1] ** 0.5).softmax(-1) @ v
        seen = seen.transpose(1, 2).flatten(2)
        return module.out_proj(seen) + addition(deltas[3], seen)


def addition(delta: LowRank | None, x: Tensor) -> Tensor:
    """One seed's low-rank addition for x (B, T, in), its matrix multiplied out."""
    if delta is None:
        return torch.zeros((), dtype=x.dtype)
    dropped = delta.dropout(x[None])[0] if delta.dropout else x
    return dropped @ (delta.scale * delta.up[0] @ delta.down[0]).T
