"""The text encoder of a backbone for methods: embeddings of words, encoders of prompts, and the logit scale."""

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
from cocoop.text.literal import LiteralEncoder, layers_of, text_tower, token_embedding, why_literal
from cocoop.text.prompt_encoder import DEFAULT_BUDGET_MB, PromptEncoder
from cocoop.text.prompts import Prompts
from cocoop.text.tokenizer import Tokenizer, byte_pair
from cocoop.text.tower import TextTower

logger = logging.getLogger(__name__)
KIND = "text-tower"
TEXTS_AT_ONCE = 1000
Texts = tuple[str, ...]
Templates = str | Sequence[str] | Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class TextEncoder:
    """A frozen text tower with its tokenizer.

    Attributes:
        table: token embeddings (vocabulary, D); learned tensors have the same dtype.
        embed_dim: E, the size of a feature.
        scale: exp(logit_scale).
        context_length: maximal number of tokens per prompt.
        layers: number of layers, counted by `TextChanges` from 0.
        encoder: maps prompts to a module that maps contexts (N, M, D), and optionally `TextChanges`, to text features (N, C, E).
        fingerprint: fingerprint of the backbone's weights, which image features must share.
        tokenizer: the tokenizer of the prompts.
        embed: maps token ids (...) to vectors (..., D); None to look them up in the table.
        about: for records: `image_encoder` (`cocoop.backbone.effort`) and `weights` (repository and commit on the hub).
        kept: cache of zero-shot features: by the texts of a class, its mean feature (E,) of each kind.
    """

    table: Tensor
    embed_dim: int
    scale: float
    context_length: int
    layers: int
    encoder: Callable[[Prompts], nn.Module]
    fingerprint: str = ""
    tokenizer: Tokenizer = field(default_factory=byte_pair)
    embed: Callable[[Tensor], Tensor] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    kept: dict[Texts, dict[str, Tensor]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def fast(cls, tower: TextTower, budget_mb: int = DEFAULT_BUDGET_MB) -> "TextEncoder":
        """A text encoder that uses the exact prompt encoder."""
        facts = tower.facts

        def encoder(of: Prompts) -> nn.Module:
            return PromptEncoder(tower, of, budget_mb)

        return cls(tower.token_embedding, tower.embed_dim, facts.scale, facts.context_length, facts.layers, encoder)

    @classmethod
    def literal(
        cls,
        model: nn.Module,
        tokenizer: Tokenizer | None = None,
        budget_mb: int = DEFAULT_BUDGET_MB,
        precision: str = "fp32",
    ) -> "TextEncoder":
        """A text encoder that uses the model's `encode_text` with all tokens of every prompt."""
        tokenizer, embedding = tokenizer or byte_pair(), token_embedding(model)
        length = tokenizer.context_length or text_tower(model).context_length
        table = embedding.weight.detach()
        if precision == "reference-fp16":
            table = table.half()  # like the authors' context (coop.py:62); open_clip converts only matrices

        def encoder(of: Prompts) -> nn.Module:
            return LiteralEncoder(model, of, length, tokenizer, budget_mb)

        with torch.no_grad():
            probe = encoder(prompts.learnable(tokenizer, length, [prompts.PLACEHOLDER], 1))
            features = probe(table[:1][None])  # (1, 1, E)
        scale = math.exp(float(model.logit_scale))
        layers = layers_of(model)
        return cls(table, features.shape[-1], scale, length, layers, encoder, tokenizer=tokenizer, embed=embedding)

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
        """Text features (T, E) of complete texts, not normalised, without gradient. The results are not cached.

        Raises UserError for a text that is too long.
        """
        nothing = torch.zeros(1, 0, self.width, dtype=self.dtype, device=self.device)
        parts = [texts[start : start + TEXTS_AT_ONCE] for start in range(0, len(texts), TEXTS_AT_ONCE)]
        made = (prompts.sentences(self.tokenizer, self.context_length, part) for part in parts)
        return torch.cat([self.encoder(of)(nothing)[0] for of in made])

    def zero_shot(
        self, classnames: Sequence[str], templates: Templates, average: str = "unit", underscores: bool = False
    ) -> Tensor:
        """Frozen text features (C, E) of classes, without gradient. A class's texts are encoded once and for all.

        templates: one or several templates, or texts by class name (descriptions). The class name, with spaces instead of
            underscores unless `underscores`, replaces "{}".
        average: how to average a class's texts: "unit" normalises each feature and their mean, as in CLIP; "raw" is the plain
            mean (TaskRes, PromptSRC).
        """
        if average not in ("unit", "raw"):
            raise ValueError(f"average: expected 'unit' or 'raw', got {average!r}")
        texts = prompts.texts_of(classnames, templates, underscores)
        if new := [own for own in dict.fromkeys(texts) if own not in self.kept]:
            means = self._averaged(new)
            self.kept.update((own, {kind: mean[c] for kind, mean in means.items()}) for c, own in enumerate(new))
        return torch.stack([self.kept[own][average] for own in texts])

    @torch.no_grad()
    def _averaged(self, texts: Sequence[Texts]) -> dict[str, Tensor]:
        """Averages (C, E) of both kinds of C classes' texts; encodes the first text of each class, then the second, and so on."""
        raw = torch.zeros(len(texts), self.embed_dim, dtype=torch.promote_types(self.dtype, torch.float32))
        raw = raw.to(self.device)
        unit = torch.zeros_like(raw)
        for number in range(max(map(len, texts))):
            having = [c for c, own in enumerate(texts) if number < len(own)]
            found = self.features([texts[c][number] for c in having])
            dtype = found.dtype
            found = found.to(raw.dtype)
            raw[having] += found
            unit[having] += F.normalize(found, dim=-1)
        counts = torch.tensor([[len(own)] for own in texts], device=self.device)
        return {"raw": (raw / counts).to(dtype), "unit": F.normalize(unit / counts, dim=-1).to(dtype)}

    def embedded_words(self, words: str, n_ctx: int) -> Tensor:
        """Token embeddings (M, D) of initial words, at positions 1..M of the tokenised words (coop.py:72-80)."""
        spoken = prompts.spoken(words)
        if len(spoken.split(" ")) != n_ctx:
            raise UserError(
                f"words {words!r}: expected {n_ctx} words, one for each context vector, got {len(spoken.split(' '))}."
            )
        tokens = self.tokenizer.encode(spoken)
        if len(tokens) < n_ctx:
            raise UserError(
                f"words {words!r}: too few tokens ({len(tokens)}) for {n_ctx} context vectors; use other words."
            )
        if len(tokens) != n_ctx:
            logger.warning(
                "initial words %r: %d words have %d tokens; as in the reference, the last ones remain fixed in the prompt",
                words, n_ctx, len(tokens),
            )  # fmt: skip
        ids = torch.tensor(tokens[:n_ctx], device=self.device)
        return self.embed(ids).detach().to(self.dtype) if self.embed else self.table[ids]


def save(
    path: str | Path,
    model: nn.Module,
    backbone: str,
    fingerprint: str,
    tokenizer: Tokenizer | None = None,
    **about: Any,
) -> None:
    """Writes a backbone's text encoder. For a tower that needs the literal text encoder, it only stores the reason.

    about: as in `TextEncoder`.
    Raises a UserError for a tower that does not support contexts or has fewer tokens than its tokenizer.
    """
    tokenizer = tokenizer or byte_pair()
    reason = why_literal(model) or tokenizer.oddity
    metadata = {"kind": KIND, "backbone": backbone, "fingerprint": fingerprint, "literal": reason, "about": about}
    if (known := len(token_embedding(model).weight)) <= (tokenizer.eot or 0):
        raise UserError(
            f"backbone {backbone!r}: its text tower has {known} tokens, but its tokenizer uses ids up to {tokenizer.eot}; "
            "set the right tokenizer in the model config (hf_tokenizer_name)."
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
    """Reads a file of `save`; loads a backbone that needs the literal text encoder with open_clip.

    backbone: the backbone settings of the run.
    Raises a UserError for a corrupt file or one of another backbone.
    """
    tensors, metadata = io.read_tensors(path, KIND)
    if metadata["backbone"] != backbone["name"]:
        raise UserError(
            f"{path}: belongs to backbone {metadata['backbone']!r}, but this run uses {backbone['name']!r}."
        )
    about = {"fingerprint": metadata["fingerprint"], "about": metadata.get("about", {})}
    if metadata["literal"]:
        _announce(backbone["name"], metadata["literal"])
        return replace(whole(backbone, device, budget_mb), **about)
    precision = BackboneSpec(**backbone).on(device).precision
    tower = TextTower.from_file(tensors, metadata["facts"]).to(device).in_precision(precision)
    return replace(TextEncoder.fast(tower, budget_mb), **about)


def _announce(backbone: str, reason: str) -> None:
    logger.info("backbone %s uses the slower literal text encoder: %s", backbone, reason)


def whole(settings: dict[str, Any], device: str = "cpu", budget_mb: int = DEFAULT_BUDGET_MB) -> TextEncoder:
    """The literal text encoder, loaded from a backbone's weights; it supports every tower."""
    from cocoop.backbone import model as backbone
    from cocoop.text import hf_tokenizer as foreign

    spec = BackboneSpec(**settings).on(device)
    return TextEncoder.literal(backbone.load(spec, device).model, foreign.of(spec), budget_mb, spec.precision)
