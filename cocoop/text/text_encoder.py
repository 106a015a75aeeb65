"""The text side of a backbone, as methods see it: words to vectors, prompts to an encoder, and the logit scale."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop import io
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError
from cocoop.text import prompts
from cocoop.text.literal import LiteralEncoder, text_tower, token_embedding, why_literal
from cocoop.text.prompt_encoder import DEFAULT_BUDGET_MB, PromptEncoder
from cocoop.text.prompts import Prompts
from cocoop.text.tokenizer import Tokenizer, byte_pair
from cocoop.text.tower import TextTower

logger = logging.getLogger(__name__)
KIND = "text-tower"


@dataclass(frozen=True)
class TextEncoder:
    """Frozen text tower and tokenizer.

    table: token embeddings (vocabulary, D), whose dtype is that of what is learned; embed_dim: E of a feature;
    scale: exp(logit_scale); encoder: makes of prompts a module from contexts (N, M, D) to text features (N, C, E);
    fingerprint: that of the backbone's weights, which image features must share; embed: token ids (...) to vectors (..., D),
    None for a look into the table.
    """

    table: Tensor
    embed_dim: int
    scale: float
    context_length: int
    encoder: Callable[[Prompts], nn.Module]
    fingerprint: str = ""
    tokenizer: Tokenizer = field(default_factory=byte_pair)
    embed: Callable[[Tensor], Tensor] | None = None
    constant: dict[tuple, Tensor] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def fast(cls, tower: TextTower, budget_mb: int = DEFAULT_BUDGET_MB) -> "TextEncoder":
        """Through the exact prompt encoder."""
        facts = tower.facts

        def encoder(of: Prompts) -> nn.Module:
            return PromptEncoder(tower, of, budget_mb)

        return cls(tower.token_embedding, tower.embed_dim, facts.scale, facts.context_length, encoder)

    @classmethod
    def literal(
        cls,
        model: nn.Module,
        tokenizer: Tokenizer | None = None,
        budget_mb: int = DEFAULT_BUDGET_MB,
        precision: str = "fp32",
    ) -> "TextEncoder":
        """Through the model's own `encode_text`, all tokens of every prompt."""
        tokenizer, embedding = tokenizer or byte_pair(), token_embedding(model)
        length = tokenizer.context_length or text_tower(model).context_length
        table = embedding.weight.detach()
        if precision == "reference-fp16":
            table = table.half()  # as the authors' context (coop.py:62); open_clip itself halves matrices only

        def encoder(of: Prompts) -> nn.Module:
            return LiteralEncoder(model, of, length, tokenizer, budget_mb)

        with torch.no_grad():
            probe = encoder(prompts.learnable(tokenizer, length, [prompts.PLACEHOLDER], 1))
            features = probe(table[:1][None])  # (1, 1, E)
        scale = math.exp(float(model.logit_scale))
        return cls(table, features.shape[-1], scale, length, encoder, tokenizer=tokenizer, embed=embedding)

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

    @torch.no_grad()
    def zero_shot(self, classnames: Sequence[str], templates: Sequence[str]) -> Tensor:
        """Text features (C, E) of hand-crafted prompts, without gradient, computed once.

        One template: not normalised; several: the mean of their unit features. Raises UserError without any.
        """
        if not templates:
            raise UserError(
                "no templates: a method that uses them says `needs: [templates]` in its file in config/methods."
            )
        key = tuple(classnames), tuple(templates)
        if key not in self.constant:
            nothing = torch.zeros(1, 0, self.width, dtype=self.dtype, device=self.device)
            each = [self.encoder(self.templated(classnames, template))(nothing)[0] for template in templates]
            mean = torch.stack([F.normalize(features, dim=-1) for features in each]).mean(0)
            self.constant[key] = each[0] if len(each) == 1 else mean
        return self.constant[key]

    def embedded_words(self, words: str, contexts: int) -> Tensor:
        """Token embeddings (M, D) of initial words (coop.py:72-80): the vectors at positions 1..M of the tokenised words."""
        spoken = prompts.spoken(words)
        if len(spoken.split(" ")) != contexts:
            raise UserError(
                f"words {words!r} are {len(spoken.split(' '))} words for {contexts} context vectors; give one word a vector."
            )
        tokens = self.tokenizer.encode(spoken)
        if len(tokens) < contexts:
            raise UserError(
                f"words {words!r} are {len(tokens)} tokens for {contexts} context vectors; take other words."
            )
        if len(tokens) != contexts:
            logger.warning(
                "initial words %r: %d words are %d tokens; like the reference, the last pieces stay fixed in the prompt",
                words, contexts, len(tokens),
            )  # fmt: skip
        ids = torch.tensor(tokens[:contexts], device=self.device)
        return self.embed(ids).detach().to(self.dtype) if self.embed else self.table[ids]


def save(
    path: str | Path, model: nn.Module, backbone: str, fingerprint: str, tokenizer: Tokenizer | None = None
) -> None:
    """Writes a backbone's text side. A tower that needs the literal path is marked so, with the reason.

    Raises UserError for one that has no place for a context, or knows fewer tokens than its tokenizer.
    """
    tokenizer = tokenizer or byte_pair()
    reason = why_literal(model) or tokenizer.oddity
    metadata: dict[str, Any] = {"kind": KIND, "backbone": backbone, "fingerprint": fingerprint, "literal": reason}
    if (known := len(token_embedding(model).weight)) <= (tokenizer.eot or 0):
        raise UserError(
            f"backbone {backbone!r}: its text tower knows {known} tokens, and its tokenizer counts up to {tokenizer.eot}; "
            "name the tokenizer in the model config (hf_tokenizer_name)."
        )
    if reason:
        _announce(backbone, reason)
        TextEncoder.literal(model, tokenizer)
        io.write_tensors(path, {}, metadata)
        return
    tower = TextTower.from_open_clip(model, tokenizer.sot, tokenizer.eot)
    io.write_tensors(path, tower.state_dict(), metadata | {"facts": vars(tower.facts)})


def load(
    path: str | Path,
    backbone: dict[str, Any],
    device: str = "cpu",
    budget_mb: int = DEFAULT_BUDGET_MB,
) -> TextEncoder:
    """Reads what `save` wrote. `backbone`: the run's backbone settings; a literal tower is loaded through open_clip.

    Raises UserError for a damaged file or one of another backbone.
    """
    tensors, metadata = io.read_tensors(path, KIND)
    if metadata["backbone"] != backbone["name"]:
        raise UserError(
            f"{path}: text tower of backbone {metadata['backbone']!r}, but this run uses {backbone['name']!r}."
        )
    if metadata["literal"]:
        _announce(backbone["name"], metadata["literal"])
        return replace(_whole(backbone, device, budget_mb), fingerprint=metadata["fingerprint"])
    tower = TextTower.from_file(tensors, metadata["facts"]).to(device).in_precision(backbone["precision"])
    return replace(TextEncoder.fast(tower, budget_mb), fingerprint=metadata["fingerprint"])


def _announce(backbone: str, reason: str) -> None:
    logger.info("backbone %s takes the literal text path: %s", backbone, reason)


def _whole(settings: dict[str, Any], device: str, budget_mb: int) -> TextEncoder:
    from cocoop.backbone import model as backbone
    from cocoop.text import hf_tokenizer as foreign

    spec = BackboneSpec(**settings)
    return TextEncoder.literal(backbone.load(spec, device).model, foreign.of(spec), budget_mb, spec.precision)
