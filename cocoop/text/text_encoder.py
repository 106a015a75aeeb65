"""The text side of a backbone, as methods see it: words to vectors, prompts to an encoder, and the logit scale."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
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
TEXTS_AT_ONCE = 1000
Templates = str | Sequence[str] | Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class TextEncoder:
    """Frozen text tower and tokenizer.

    table: token embeddings (vocabulary, D), whose dtype is that of what is learned; embed_dim: E of a feature;
    scale: exp(logit_scale); encoder: makes of prompts a module from contexts (N, M, D), and `TextChanges` if a
    method has any, to text features (N, C, E);
    fingerprint: that of the backbone's weights, which image features must share; embed: token ids (...) to vectors (..., D),
    None for a look into the table; kept: zero-shot features.
    """

    table: Tensor
    embed_dim: int
    scale: float
    context_length: int
    encoder: Callable[[Prompts], nn.Module]
    fingerprint: str = ""
    tokenizer: Tokenizer = field(default_factory=byte_pair)
    embed: Callable[[Tensor], Tensor] | None = None
    kept: dict[Any, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

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

    def learnable(self, classnames: Sequence[str], n_ctx: int, **options: Any) -> Prompts:
        """Prompts with M context vectors; options as in `prompts.learnable`."""
        return prompts.learnable(self.tokenizer, self.context_length, classnames, n_ctx, **options)

    @torch.no_grad()
    def features(self, texts: Sequence[str]) -> Tensor:
        """Text features (T, E) of whole texts, not normalised, without gradient. Each call computes them: keep them.

        Raises UserError for a text that is too long.
        """
        nothing = torch.zeros(1, 0, self.width, dtype=self.dtype, device=self.device)
        parts = [texts[start : start + TEXTS_AT_ONCE] for start in range(0, len(texts), TEXTS_AT_ONCE)]
        made = (prompts.sentences(self.tokenizer, self.context_length, part) for part in parts)
        return torch.cat([self.encoder(of)(nothing)[0] for of in made])

    def zero_shot(self, classnames: Sequence[str], templates: Templates, average: str = "unit") -> Tensor:
        """Frozen text features (C, E) of classes, without gradient: the first call computes and keeps them.

        templates: a template, several, or texts by class name (descriptions). "{}" in a template becomes the name with spaces
        for underscores. average, of a class's texts: "unit", as CLIP did (each
        feature and their mean normalised), or "raw", the plain mean (TaskRes, PromptSRC). Do not change the result in place.
        """
        if average not in ("unit", "raw"):
            raise ValueError(f"average: {average!r} is neither 'unit' nor 'raw'")
        texts = prompts.texts_of(classnames, templates)
        if (texts, average) not in self.kept:
            self.kept[texts, average] = self._averaged(texts, average == "unit")
        return self.kept[texts, average]

    @torch.no_grad()
    def _averaged(self, texts: tuple[tuple[str, ...], ...], unit: bool) -> Tensor:
        """Of C classes' texts, one round after another: each class's first text, its second, ..."""
        sums = torch.zeros(len(texts), self.embed_dim, dtype=torch.promote_types(self.dtype, torch.float32))
        sums = sums.to(self.device)
        for number in range(max(map(len, texts))):
            having = [c for c, own in enumerate(texts) if number < len(own)]
            found = self.features([texts[c][number] for c in having])
            dtype = found.dtype
            found = found.to(sums.dtype)
            sums[having] += F.normalize(found, dim=-1) if unit else found
        mean = sums / torch.tensor([[len(own)] for own in texts], device=self.device)
        return (F.normalize(mean, dim=-1) if unit else mean).to(dtype)

    def embedded_words(self, words: str, n_ctx: int) -> Tensor:
        """Token embeddings (M, D) of initial words (coop.py:72-80): the vectors at positions 1..M of the tokenised words."""
        spoken = prompts.spoken(words)
        if len(spoken.split(" ")) != n_ctx:
            raise UserError(
                f"words {words!r} are {len(spoken.split(' '))} words for {n_ctx} context vectors; give one word a vector."
            )
        tokens = self.tokenizer.encode(spoken)
        if len(tokens) < n_ctx:
            raise UserError(f"words {words!r} are {len(tokens)} tokens for {n_ctx} context vectors; take other words.")
        if len(tokens) != n_ctx:
            logger.warning(
                "initial words %r: %d words are %d tokens; like the reference, the last pieces stay fixed in the prompt",
                words, n_ctx, len(tokens),
            )  # fmt: skip
        ids = torch.tensor(tokens[:n_ctx], device=self.device)
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
    assert tokenizer.sot is not None and tokenizer.eot is not None  # else it is odd, which is a reason
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
        return replace(whole(backbone, device, budget_mb), fingerprint=metadata["fingerprint"])
    tower = TextTower.from_file(tensors, metadata["facts"]).to(device).in_precision(backbone["precision"])
    return replace(TextEncoder.fast(tower, budget_mb), fingerprint=metadata["fingerprint"])


def _announce(backbone: str, reason: str) -> None:
    logger.info("backbone %s takes the literal text path: %s", backbone, reason)


def whole(settings: dict[str, Any], device: str = "cpu", budget_mb: int = DEFAULT_BUDGET_MB) -> TextEncoder:
    """The text side straight from a backbone's weights, on the literal path, which takes every tower."""
    from cocoop.backbone import model as backbone
    from cocoop.text import hf_tokenizer as foreign

    spec = BackboneSpec(**settings)
    return TextEncoder.literal(backbone.load(spec, device).model, foreign.of(spec), budget_mb, spec.precision)
