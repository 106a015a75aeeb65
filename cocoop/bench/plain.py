"""The literal side: both towers as the authors' code runs them, with torch's modules and all tokens in every layer."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.backbone.vision import Encoded
from cocoop.backbone.vision_changes import NO_CHANGES, ImageChanges
from cocoop.text.changes import UNCHANGED, Adapter, LowRank, TextChanges
from cocoop.text.hooks import longer_mask
from cocoop.text.literal import text_tower
from cocoop.text.prompts import Prompts

FRONT = 1  # inserted tokens follow SOS or the class token
Added = Callable[[str, Tensor], Tensor | float]
"""What low-rank terms add to a matrix (q, k, v or o) for its input."""


class PlainText(nn.Module):
    """The authors' computation (CoOp trainers/cocoop.py:144-189): all 77 tokens of every class, one context after another."""

    def __init__(self, model: nn.Module, prompts: Prompts) -> None:
        super().__init__()
        self.text = text_tower(model)
        device = self.text.positional_embedding.device
        tokens = torch.zeros(len(prompts.classes), len(self.text.positional_embedding), dtype=torch.long)
        for row, entries in zip(tokens, prompts.classes, strict=True):
            row[: len(entries)] = torch.tensor(entries).clamp(min=0)
        self.embedded = self.text.token_embedding(tokens.to(device))  # (C, 77, D)
        self.eot = torch.tensor([len(entries) - 1 for entries in prompts.classes], device=device)
        self.longest = int(self.eot.max()) + 1

    def forward(self, context: Tensor, changes: TextChanges = UNCHANGED) -> Tensor:
        """Context (N, M, D), placed after SOS -> text features (N, C, E). Changes must be those of a single context."""
        return torch.stack([self._one(vectors, changes) for vectors in context])

    def _one(self, context: Tensor, changes: TextChanges) -> Tensor:
        text, contexts = self.text, context.shape[-2]
        x = _replaced(self.embedded, context, 1) + text.positional_embedding
        mask, inserted = text.attn_mask, 0
        for layer, block in enumerate(text.transformer.resblocks):
            if layer in changes.inserted:
                tokens = changes.inserted[layer][0]
                if not inserted:
                    mask = longer_mask(mask, len(tokens), FRONT, causal=True)
                x = _put(x, tokens, inserted)
                inserted = len(tokens)
            if layer in changes.prompts:
                placed, found = changes.prompts[layer][0], x[:, 1 : 1 + contexts]
                x = _replaced(x, changes.weight * placed + (1 - changes.weight) * found, 1)
            low_rank = self._low_rank(changes.low_rank.get(layer, {}))
            x = _layer(block, x, mask, low_rank, self._adapter(changes.adapters.get(layer)))
        x = text.ln_final(x)
        return x[torch.arange(len(x), device=x.device), self.eot + inserted] @ text.text_projection

    def _low_rank(self, terms: Mapping[str, LowRank]) -> Added | None:
        def added(matrix: str, x: Tensor) -> Tensor | float:
            term = terms.get(matrix)
            if term is None:
                return 0.0
            if term.dropout:
                factors = term.dropout(len(x), self.longest)[0]  # (C, longest, D)
                x = x * F.pad(factors, (0, 0, 0, x.shape[1] - self.longest), value=1.0)
            return term.scale * (x @ term.down[0].T) @ term.up[0].T

        return added if terms else None

    def _adapter(self, adapter: Adapter | None) -> Adapter | None:
        if adapter is None:
            return None
        return lambda normed, out: adapter(*(x.flatten(0, 1)[None] for x in (normed, out)))[0].view_as(out)


class PlainImage:
    """The image tower for changes of one seed, in place of an `ImageEncoder`."""

    def __init__(self, model: nn.Module) -> None:
        self.visual = model.visual
        self.layers = len(self.visual.transformer.resblocks)

    def encode(self, pixels: Tensor, changes: ImageChanges = NO_CHANGES) -> Encoded:
        """Features of pixels (1, B, 3, H, W)."""
        visual, inserted, prompts = self.visual, 0, 0
        patches = visual.conv1(pixels[0]).flatten(2).mT  # (B, P, D)
        first = visual.class_embedding.expand(len(patches), 1, -1)
        x = torch.cat([first, patches], 1) + visual.positional_embedding
        for layer, block in enumerate(visual.transformer.resblocks):
            if layer in changes.deep_prompts:
                tokens = changes.deep_prompts[layer][0].expand(len(x), -1, -1)
                x = torch.cat([x[:, : x.shape[1] - prompts], tokens], 1)
                prompts = tokens.shape[1]
            if layer == 0:
                x = visual.ln_pre(x)
            if layer in changes.inserted:
                tokens = changes.inserted[layer][0]
                x = _put(x, tokens, inserted)
                inserted = len(tokens)
            x = _layer(block, x, None, self._low_rank(layer, changes), self._adapter(layer, changes))
        x = visual.ln_post(x)
        return Encoded((x[:, 0] @ visual.proj)[None], x[None, :, 1 : 1 + inserted] if inserted else None)

    def _low_rank(self, layer: int, changes: ImageChanges) -> Added | None:
        terms, _ = changes.of_layer(layer)

        def added(matrix: str, x: Tensor) -> Tensor | float:
            term = terms.get(matrix)
            if term is None:
                return 0.0
            x = term.dropout(x[None])[0] if term.dropout else x
            return term.scale * (x @ term.down[0].T) @ term.up[0].T

        return added if terms else None

    def _adapter(self, layer: int, changes: ImageChanges) -> Adapter | None:
        adapter = changes.adapters.get(layer)
        return (lambda normed, out: out + adapter(normed[None])[0]) if adapter else None


def _layer(block: nn.Module, x: Tensor, mask: Tensor | None, added: Added | None, adapter: Adapter | None) -> Tensor:
    """A residual block with all its tokens, x (B, T, D)."""
    normed = block.ln_1(x)
    out = x + _attention(block.attn, normed, mask, added)
    out = out + block.mlp(block.ln_2(out))
    return adapter(normed, out) if adapter else out


def _attention(attention: nn.Module, x: Tensor, mask: Tensor | None, added: Added | None) -> Tensor:
    """With low-rank terms, four linear layers in place of torch's module (CLIP-LoRA loralib/layers.py:340-524)."""
    if added is None:
        return attention(x, x, x, need_weights=False, attn_mask=mask)[0]
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    projected = (F.linear(x, w, b) + added(name, x) for name, w, b in zip("qkv", weights, biases, strict=True))
    q, k, v = (t.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for t in projected)
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
    return attention.out_proj(mixed) + added("o", mixed)


def _replaced(x: Tensor, vectors: Tensor, start: int) -> Tensor:
    """x (B, T, D) with vectors (M, D) or (B, M, D) from position `start` on."""
    vectors = vectors.expand(len(x), -1, -1).to(x.dtype)
    return torch.cat([x[:, :start], vectors, x[:, start + vectors.shape[1] :]], 1)


def _put(x: Tensor, tokens: Tensor, there: int) -> Tensor:
    """x (B, T, D) with tokens (K, D) behind the first one, in place of `there` earlier ones."""
    return torch.cat([x[:, :FRONT], tokens.expand(len(x), -1, -1).to(x.dtype), x[:, FRONT + there :]], 1)
