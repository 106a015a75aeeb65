"""The literal text encoder, for towers that the exact prompt encoder does not support: runs all tokens through open_clip."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cocoop.backbone.vision_reading import is_plain
from cocoop.errors import UserError
from cocoop.text.changes import UNCHANGED, TextChanges
from cocoop.text.hooks import Hooks, blocks_of
from cocoop.text.prompt_encoder import DEFAULT_BUDGET_MB
from cocoop.text.prompts import Prompts
from cocoop.text.tokenizer import Tokenizer

PLAIN_BLOCK = "ResidualAttentionBlock"
PLAIN_ACTIVATIONS = ("QuickGELU", "GELU")
# Vectors of width D that a token stores per layer for the backward pass (GELU 11, QuickGELU 15, mT5 20); half without gradients.
KEPT_VECTORS = 20
LAYERS_OF_HUGGING_FACE = "num_hidden_layers"


def text_tower(model: nn.Module) -> nn.Module:
    """The text tower of an open_clip model; for the basic CLIP class, the model itself."""
    return getattr(model, "text", model)


def token_embedding(model: nn.Module) -> nn.Module:
    """The module that maps token ids (C, L) to vectors (C, L, D). Raises a UserError if the text tower has none."""
    text = text_tower(model)
    inputs = getattr(getattr(text, "transformer", None), "get_input_embeddings", None)  # a tower of Hugging Face
    found = getattr(text, "token_embedding", None) or (inputs() if inputs else None)
    if found is None:
        raise UserError(
            f"the text tower {type(text).__name__} has no token embeddings, so it does not support contexts; use another model."
        )
    return found


def layers_of(model: nn.Module) -> int:
    """Number of layers of the text tower."""
    text = text_tower(model)
    blocks = getattr(getattr(text, "transformer", text), "resblocks", getattr(text, "blocks", None))
    return len(blocks) if blocks is not None else getattr(text.config, LAYERS_OF_HUGGING_FACE)


def why_literal(model: nn.Module) -> str | None:
    """The reason why a model needs the literal text encoder, for the log; None if the exact prompt encoder supports it."""
    text = text_tower(model)
    if not all(hasattr(text, part) for part in ("token_embedding", "positional_embedding", "transformer")):
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
    if isinstance(text.text_projection, nn.Linear) and text.text_projection.bias is not None:
        return "its text projection has a bias"
    return _odd_layers(text.transformer.resblocks, text.ln_final)


def _odd_layers(blocks: nn.ModuleList, ln_final: nn.LayerNorm) -> str | None:
    odd = next((block for block in blocks if not _is_plain(block)), None)
    if odd is not None:
        return f"its layers are {type(odd).__name__}s with additional scales or norms"
    if any(ln.eps != ln_final.eps or ln.bias is None for block in blocks for ln in (block.ln_1, block.ln_2, ln_final)):
        return "its layer norms differ"
    kinds = sorted({_activation(block.mlp.gelu) for block in blocks})
    if len(kinds) > 1 or kinds[0] not in PLAIN_ACTIVATIONS:
        return f"its MLP uses {' and '.join(kinds)}"
    return None


def _is_plain(block: nn.Module) -> bool:
    return type(block).__name__ == PLAIN_BLOCK and isinstance(block.ls_1, nn.Identity) and is_plain(block.attn)


def _activation(module: nn.Module) -> str:
    approximate = getattr(module, "approximate", "none")
    return type(module).__name__ + (f" by {approximate}" if approximate != "none" else "")


class LiteralEncoder(nn.Module):
    """Text features (N, C, E) of C prompts with N contexts from `model.encode_text`, over the whole context length.

    Context vectors replace token embeddings at the input of the tower, so masks and pooling are the model's.
    budget_mb: memory for activations. Larger batches are split by context and then by class, and recomputed in the backward
        pass.
    """

    def __init__(
        self,
        model: nn.Module,
        prompts: Prompts,
        context_length: int,
        tokenizer: Tokenizer,
        budget_mb: int = DEFAULT_BUDGET_MB,
    ) -> None:
        super().__init__()
        self.model, self.budget_mb, self.embedding = model, budget_mb, token_embedding(model)
        causal = getattr(text_tower(model), "attn_mask", None) is not None
        self.front, self.longest = tokenizer.front, max(map(len, prompts.classes)) if causal else context_length
        weight = self.embedding.weight
        tokens = torch.zeros(len(prompts.classes), context_length, dtype=torch.long)
        for row, entries in zip(tokens, prompts.classes, strict=True):
            row[: len(entries)] = torch.tensor([e if e >= 0 else tokenizer.placeholder for e in entries])
        if int(tokens.max()) >= len(weight):
            raise UserError(
                f"a prompt contains token {int(tokens.max())}, but the text tower has only {len(weight)} tokens; "
                "the tokenizer does not match the model."
            )
        places = [[entries.index(-m - 1) for m in range(prompts.n_ctx)] for entries in prompts.classes]
        at = torch.tensor(places, dtype=torch.long, device=weight.device).view(len(tokens), prompts.n_ctx, 1)
        at = at.expand(-1, -1, weight.shape[1])  # positions of contexts
        self.register_buffer("tokens", tokens.to(weight.device), persistent=False)  # (C, L)
        self.register_buffer("at", at, persistent=False)  # (C, M, D)

    def forward(self, context: Tensor, changes: TextChanges = UNCHANGED) -> Tensor:
        """Text features (N, C, E), not normalised.

        context: (N, M, D), or (N, C, M, D) if class-specific; M may be 0.
        changes: a method's changes inside the tower.
        """
        if changes is not UNCHANGED:
            changes.check(len(blocks_of(text_tower(self.model))), len(self.tokens), context)
        classes, batch, at_once = len(self.tokens), len(context), self._prompts_at_once()
        if batch * classes <= at_once:
            return self._features(context, changes, 0, classes)
        step, n = min(classes, at_once), max(1, at_once // classes)
        if changes.adapters:
            step, n = max(1, at_once // batch), batch  # an adapter needs the whole batch
        pieces = [(first, min(first + step, classes)) for first in range(0, classes, step)]
        parts = [(context, changes)]
        if n < batch:
            parts = [(context[at : at + n], changes.part(at, at + n)) for at in range(0, batch, n)]
        return torch.cat([torch.cat([self._piece(*part, *piece) for piece in pieces], 1) for part in parts])

    def _prompts_at_once(self) -> int:
        """Number of prompts whose activations fit the budget: of all layers with gradients, half of one layer without."""
        weight = self.embedding.weight
        vectors = KEPT_VECTORS * layers_of(self.model) if torch.is_grad_enabled() else KEPT_VECTORS // 2
        prompt = vectors * weight.shape[1] * weight.element_size() * self.tokens.shape[1]
        return max(1, self.budget_mb * 2**20 // prompt)

    def _piece(self, *piece) -> Tensor:
        if not torch.is_grad_enabled():
            return self._features(*piece)
        return checkpoint(self._features, *piece, use_reentrant=False, preserve_rng_state=False)

    def _features(self, context: Tensor, changes: TextChanges, first: int, last: int) -> Tensor:
        """Features (N, last - first, E) of some classes. Shapes do not depend on values, so the CPU never waits for the device."""
        n, inserted = len(context), []
        own = context[:, first:last] if context.ndim == 4 else context[:, None].expand(-1, last - first, -1, -1)
        at = self.at[first:last].repeat(n, 1, 1)  # (N * classes, M, D)

        def insert(module: nn.Module, inputs: tuple, embedded: Tensor) -> Tensor:
            inserted.append(module)
            return embedded.scatter(1, at, own.flatten(0, 1).to(embedded.dtype))

        handle = self.embedding.register_forward_hook(insert)
        hooks = Hooks(changes, n, (first, last, len(self.tokens)), self.at[..., 0], self.front, self.longest)
        try:
            with nullcontext() if changes is UNCHANGED else hooks.on(text_tower(self.model)):
                features = self.model.encode_text(self.tokens[first:last].repeat(n, 1))
        finally:
            handle.remove()
        if len(inserted) != 1 or not isinstance(features, Tensor):
            raise UserError(
                f"the text tower {type(text_tower(self.model)).__name__} does not look up each prompt once and return one feature; "
                "use another model."
            )
        return features.unflatten(0, (n, last - first))
