"""The literal text path, for towers the exact encoder does not cover: all tokens through open_clip's own modules."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cocoop.clip.prompts import Prompts

PLAIN_BLOCK = "ResidualAttentionBlock"
PLACEHOLDER_TOKEN = 343  # "x</w>"; any token that is neither padding nor special would do: its embedding is replaced


def why_literal(model: nn.Module) -> str | None:
    """Why a model's text tower needs the literal path, in words for the log; None where the exact encoder is right."""
    text = getattr(model, "text", model)
    if not hasattr(text, "token_embedding"):
        return f"its text tower is a {type(text).__name__}, not a CLIP transformer"
    mask = text.attn_mask
    if mask is None:
        return "its text tower has no causal mask"
    if not torch.equal(mask.isinf().cpu(), torch.ones_like(mask, dtype=torch.bool).cpu().triu(1)):
        return "its attention mask is not the causal one"
    if getattr(text, "use_pad_mask", False):
        return "its text tower masks padding"
    if getattr(text, "cls_emb", None) is not None:
        return "its text tower appends a class token"
    pool = getattr(text, "pool_type", None) or model.text_pool_type
    if pool != "argmax":
        return f"its text feature is pooled by {pool!r} instead of EOT"
    blocks = text.transformer.resblocks
    odd = next((b for b in blocks if type(b).__name__ != PLAIN_BLOCK or not isinstance(b.ls_1, nn.Identity)), None)
    if odd is not None:
        return f"its layers are {type(odd).__name__}s with scales or norms of their own"
    if type(blocks[0].mlp.gelu).__name__ not in ("QuickGELU", "GELU"):
        return f"its MLP uses {type(blocks[0].mlp.gelu).__name__}"
    if isinstance(text.text_projection, nn.Linear) and text.text_projection.bias is not None:
        return "its text projection has a bias"
    return None


class LiteralEncoder(nn.Module):
    """Text features (N, C, E) of C prompts under N contexts by `model.encode_text` over the whole context length.

    Context vectors take the place of token embeddings on their way into the tower, so that masks and pooling stay the model's own.
    """

    def __init__(self, model: nn.Module, prompts: Prompts, context_length: int, at_once: int = 256) -> None:
        super().__init__()
        self.model, self.at_once = model, at_once
        device = next(model.parameters()).device
        rows = [[max(e, 0) if e >= 0 else PLACEHOLDER_TOKEN for e in entries] for entries in prompts.classes]
        tokens = torch.zeros(len(rows), context_length, dtype=torch.long)
        for row, entries in zip(tokens, rows, strict=True):
            row[: len(entries)] = torch.tensor(entries)
        slots = [(c, at, -e - 1) for c, entries in enumerate(prompts.classes) for at, e in enumerate(entries) if e < 0]
        self.register_buffer("tokens", tokens.to(device), persistent=False)  # (C, L)
        self.register_buffer(
            "slots", torch.tensor(slots, dtype=torch.long, device=device).reshape(-1, 3), persistent=False
        )

    def forward(self, context: Tensor) -> Tensor:
        """context: (N, M, D), or (N, C, M, D) when class-specific -> text features (N, C, E), not normalised."""
        n, c = context.shape[0], len(self.tokens)
        owner, _, vector = self.slots.unbind(1)
        placed = context[:, vector] if context.ndim == 3 else context[:, owner, vector]  # (N, K, D)
        features = []
        for start in range(0, n * c, self.at_once):
            pairs = torch.arange(start, min(start + self.at_once, n * c), device=context.device)
            features.append(self._recomputed(placed, pairs // c, pairs % c))
        return torch.cat(features).view(n, c, -1)

    def _recomputed(self, placed: Tensor, image: Tensor, owner: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return checkpoint(self._encode, placed, image, owner, use_reentrant=False, preserve_rng_state=False)
        return self._encode(placed, image, owner)

    def _encode(self, placed: Tensor, image: Tensor, owner: Tensor) -> Tensor:
        pair, slot = (owner[:, None] == self.slots[None, :, 0]).nonzero(as_tuple=True)

        def insert(module: nn.Module, inputs: tuple, embedded: Tensor) -> Tensor:
            return embedded.index_put((pair, self.slots[slot, 1]), placed[image[pair], slot].to(embedded.dtype))

        handle = getattr(self.model, "text", self.model).token_embedding.register_forward_hook(insert)
        try:
            return self.model.encode_text(self.tokens[owner])
        finally:
            handle.remove()
