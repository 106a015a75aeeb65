"""Tokenizers that are not CLIP's byte pairs: those which open_clip takes from Hugging Face (SigLIP, CLIPA, multilingual towers).

A prompt is what open_clip's own wrapper makes of it: cleaned, framed and padded its way.
"""

from dataclasses import dataclass
from typing import Any

import open_clip
from open_clip.tokenizer import get_clean_fn

from cocoop.backbone import architecture
from cocoop.backbone.model import quiet
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError, cut
from cocoop.text.tokenizer import Tokenizer, byte_pair

PROBE = "a X"


@dataclass(frozen=True)
class ForeignTokenizer(Tokenizer):
    """Around open_clip's wrapper `inner` of a Hugging Face tokenizer. Start and end of text are the tokenizer's own, or none."""

    def encode(self, text: str) -> list[int]:
        return self._ids(text, False)

    def whole(self, text: str) -> tuple[int, ...]:
        return tuple(self._ids(text, True))

    def ended(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        return tokens

    def padded(self, tokens: tuple[int, ...], length: int) -> tuple[int, ...]:
        fill = (self.inner.tokenizer.pad_token_id,) * (length - len(tokens))
        return tokens + fill if self.inner.tokenizer.padding_side == "right" else fill + tokens

    def length(self, name: str, lead: str) -> int:
        before, joined = self.encode(lead), self.encode(f"{lead} {name}")
        if joined[: len(before)] != before:
            raise UserError(
                f"class {cut(name)!r}: the tokenizer joins it with the words {lead!r} in front of it; take other initial words."
            )
        return len(joined) - len(before)

    def _ids(self, text: str, framed: bool) -> list[int]:
        clean = getattr(self.inner, "clean_fn", None) or get_clean_fn("canonicalize")  # open_clip's SigLipTokenizer
        hub = self.inner.tokenizer
        ids = hub(clean(text), add_special_tokens=framed, verbose=False).input_ids
        dropped = hub.sep_token_id if getattr(self.inner, "strip_sep_token", False) else None
        return [0 if i == dropped else i for i in ids]


def of(spec: BackboneSpec) -> Tokenizer:
    """The tokenizer of a backbone's text tower.

    Raises UserError where one of Hugging Face lacks a package, cannot be had, or arranges prompts as learned ones cannot be.
    """
    name = architecture.register(spec)
    source, text = architecture.foreign_tokenizer(name), open_clip.get_model_config(name)["text_cfg"]
    if source is None and not text.get("tokenizer_kwargs"):
        return byte_pair()
    where = f"backbone {spec.name!r}: tokenizer {source or 'of CLIP with settings of its own'}"
    if text.get("hf_model_name") and not text.get("hf_tokenizer_name"):
        raise UserError(f"{where}: the model config has hf_model_name without hf_tokenizer_name; add it.")
    options = {"trust_remote_code": False} if source else {}  # and no question at the terminal either
    try:
        with quiet():
            inner = open_clip.get_tokenizer(name, **options)
    except ImportError as error:
        missing = architecture.first_line(error)
        raise UserError(f"{where}: needs a package; pip install transformers ({missing}).") from error
    except Exception as error:  # the hub's client and each tokenizer raise their own
        raise UserError(
            f"{where}: cannot be loaded ({architecture.first_line(error)}). Without internet: fetch its files elsewhere, copy "
            "their folder here, and write its path as hf_tokenizer_name into a JSON model config."
        ) from error
    if source is None:
        return Tokenizer(inner, inner.sot_token_id, inner.eot_token_id, "its tokenizer has settings of its own")
    return _wrapped(inner, f"its tokenizer is {source}", where, text)


def _wrapped(inner: Any, oddity: str, where: str, text: dict[str, Any]) -> ForeignTokenizer:
    plain = ForeignTokenizer(inner, None, None, oddity, context_length=inner.context_length)
    body, whole = tuple(plain.encode(PROBE)), plain.whole(PROBE)
    starts = [at for at in range(len(whole) - len(body) + 1) if whole[at : at + len(body)] == body]
    words = [token for token in body if token not in inner.tokenizer.all_special_ids]
    if not words or not starts or list(plain.padded(whole, inner.context_length)) != inner(PROBE)[0].tolist():
        raise UserError(f"{where}: arranges its tokens as learned prompts cannot be arranged; take another model.")
    argmax = text.get("pool_type", "argmax") == "argmax" and not text.get("embed_cls") and "hf_model_name" not in text
    if argmax and whole[-1] != len(inner.tokenizer) - 1:
        raise UserError(
            f"{where}: its end of text is not the largest token, which the text tower (pool_type: argmax) takes for it; "
            "take pool_type: eos."
        )
    return ForeignTokenizer(inner, None, None, oddity, starts[0], words[-1], inner.context_length)
