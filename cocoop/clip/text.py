"""The text side of a backbone, as methods see it: words to vectors, prompts to an encoder, and the logit scale."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cocoop import io
from cocoop.clip import prompts
from cocoop.clip.literal import LiteralEncoder, why_literal
from cocoop.clip.prompt_encoder import DEFAULT_BUDGET_MB, PromptEncoder
from cocoop.clip.prompts import Prompts
from cocoop.clip.text_tower import TextTower
from cocoop.clip.tokenizer import Tokenizer, byte_pair
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError

logger = logging.getLogger(__name__)
KIND = "text-tower"


@dataclass(frozen=True)
class TextSide:
    """Frozen text tower and tokenizer.

    table: token embeddings (vocabulary, D), whose dtype is that of what is learned; embed_dim: E of a feature;
    scale: exp(logit_scale); encoder: makes of prompts a module from contexts (N, M, D) to text features (N, C, E);
    fingerprint: that of the backbone's weights, which image features must share.
    """

    table: Tensor
    embed_dim: int
    scale: float
    context_length: int
    encoder: Callable[[Prompts], nn.Module]
    fingerprint: str = ""
    tokenizer: Tokenizer = field(default_factory=byte_pair)

    @classmethod
    def fast(cls, tower: TextTower, budget_mb: int = DEFAULT_BUDGET_MB) -> "TextSide":
        """Through the exact prompt encoder."""
        facts = tower.facts

        def encoder(of: Prompts) -> nn.Module:
            return PromptEncoder(tower, of, budget_mb)

        return cls(tower.token_embedding, tower.embed_dim, facts.scale, facts.context_length, encoder)

    @classmethod
    def literal(cls, model: nn.Module) -> "TextSide":
        """Through the model's own `encode_text`, all tokens of every prompt."""
        text = getattr(model, "text", model)
        table, length = text.token_embedding.weight.detach(), text.context_length

        def encoder(of: Prompts) -> nn.Module:
            return LiteralEncoder(model, of, length)

        with torch.no_grad():
            features = model.encode_text(torch.zeros(1, length, dtype=torch.long, device=table.device))
        return cls(table, features.shape[-1], math.exp(float(model.logit_scale)), length, encoder)

    @property
    def width(self) -> int:
        """D, the width of a token."""
        return self.table.shape[1]

    @property
    def device(self) -> torch.device:
        return self.table.device

    @property
    def dtype(self) -> torch.dtype:
        return self.table.dtype

    def templated(self, classnames: Sequence[str], template: str) -> Prompts:
        """Prompts without a context."""
        return prompts.templated(self.tokenizer, self.context_length, classnames, template)

    def learnable(self, classnames: Sequence[str], contexts: int, **options: Any) -> Prompts:
        """Prompts with M context vectors; options as in `prompts.learnable`."""
        return prompts.learnable(self.tokenizer, self.context_length, classnames, contexts, **options)

    def embedded_words(self, words: str, contexts: int) -> Tensor:
        """Token embeddings (M, D) of initial words (coop.py:72-80): the vectors at positions 1..M of the tokenised words."""
        spoken = prompts.spoken(words)
        if len(spoken.split(" ")) != contexts:
            raise UserError(
                f"words {words!r} are {len(spoken.split(' '))} words for {contexts} context vectors; give one word a vector."
            )
        tokens = self.tokenizer.encode(spoken)
        if len(tokens) != contexts:
            logger.warning(
                "initial words %r: %d words are %d tokens; like the reference, the last pieces stay fixed in the prompt",
                words, contexts, len(tokens),
            )  # fmt: skip
        return self.table[torch.tensor(tokens[:contexts], device=self.device)]


def save(path: str | Path, model: nn.Module, backbone: str, fingerprint: str) -> None:
    """Writes a backbone's text side. A tower that needs the literal path is marked so, with the reason."""
    tokenizer, reason = byte_pair(), why_literal(model)
    metadata: dict[str, Any] = {"kind": KIND, "backbone": backbone, "fingerprint": fingerprint, "literal": reason}
    if reason:
        logger.info("backbone %s takes the literal text path: %s", backbone, reason)
        io.write_tensors(path, {}, metadata)
        return
    tower = TextTower.from_open_clip(model, tokenizer.sot, tokenizer.eot)
    io.write_tensors(path, tower.state_dict(), metadata | {"facts": vars(tower.facts)})


def load(
    path: str | Path,
    backbone: dict[str, Any],
    device: str = "cpu",
    budget_mb: int = DEFAULT_BUDGET_MB,
) -> TextSide:
    """Reads what `save` wrote. `backbone`: the run's backbone settings; a literal tower is loaded through open_clip.

    Raises UserError for a damaged file or one of another backbone.
    """
    tensors, metadata = io.read_tensors(path, KIND)
    if metadata["backbone"] != backbone["name"]:
        raise UserError(
            f"{path}: text tower of backbone {metadata['backbone']!r}, but this run uses {backbone['name']!r}."
        )
    if metadata["literal"]:
        logger.info("backbone %s takes the literal text path: %s", backbone["name"], metadata["literal"])
        return replace(TextSide.literal(_whole_model(backbone, device)), fingerprint=metadata["fingerprint"])
    tower = TextTower.from_file(tensors, metadata["facts"]).to(device).in_precision(backbone["precision"])
    return replace(TextSide.fast(tower, budget_mb), fingerprint=metadata["fingerprint"])


def _whole_model(settings: dict[str, Any], device: str) -> nn.Module:
    from cocoop.clip import backbone

    return backbone.load(BackboneSpec(label=settings["name"], **settings), device).model
