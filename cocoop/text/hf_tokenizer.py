"""Tokenizers that open_clip takes from Hugging Face (SigLIP, CLIPA, multilingual models) instead of CLIP's byte-pair tokenizer.

open_clip's wrapper cleans, frames and pads the prompts.
"""

from dataclasses import dataclass
from typing import Any

import open_clip
from open_clip.tokenizer import get_clean_fn

from cocoop.backbone import architecture
from cocoop.backbone.model import quiet
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError, shown
from cocoop.text.tokenizer import Tokenizer, byte_pair

PROBE = "a X"


@dataclass(frozen=True)
class ForeignTokenizer(Tokenizer):
    """A Hugging Face tokenizer in open_clip's wrapper `inner`. Start and end of text are the tokenizer's, or None."""

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
                f"class {shown(name)}: the tokenizer merges it with the preceding words {shown(lead)}; "
                "use other initial words."
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

    Raises a UserError if a Hugging Face tokenizer needs a missing package, cannot be loaded, or does not support learned prompts.
    """
    name = architecture.register(spec)
    source, text = architecture.foreign_tokenizer(name), open_clip.get_model_config(name)["text_cfg"]
    if source is None and not text.get("tokenizer_kwargs"):
        return byte_pair()
    where = f"backbone {spec.name!r}: tokenizer {source or 'of CLIP with custom settings'}"
    if text.get("hf_model_name") and not text.get("hf_tokenizer_name"):
        raise UserError(f"{where}: the model config has hf_model_name without hf_tokenizer_name; add it.")
    options = {"trust_remote_code": False} if source else {}  # also prevents a question on the terminal
    try:
        with quiet():
            inner = open_clip.get_tokenizer(name, **options)
    except ImportError as error:
        missing = architecture.first_line(error)
        raise UserError(f"{where}: needs a missing package; run pip install transformers ({missing}).") from error
    except Exception as error:  # the hub's client and the tokenizers raise different types
        raise UserError(
            f"{where}: cannot be loaded ({architecture.first_line(error)}). Without internet, download its files elsewhere, copy "
            "the folder here, and set hf_tokenizer_name to its path in a JSON model config."
        ) from error
    if source is None:
        return Tokenizer(inner, inner.sot_token_id, inner.eot_token_id, "its tokenizer has custom settings")
    return _wrapped(inner, f"its tokenizer is {source}", where, text)


def _wrapped(inner: Any, oddity: str, where: str, text: dict[str, Any]) -> ForeignTokenizer:
    plain = ForeignTokenizer(inner, None, None, oddity, context_length=inner.context_length)
    body, whole = tuple(plain.encode(PROBE)), plain.whole(PROBE)
    starts = [at for at in range(len(whole) - len(body) + 1) if whole[at : at + len(body)] == body]
    words = [token for token in body if token not in inner.tokenizer.all_special_ids]
    if not words or not starts or list(plain.padded(whole, inner.context_length)) != inner(PROBE)[0].tolist():
        raise UserError(f"{where}: its order of tokens does not support learned prompts; use another model.")
    argmax = text.get("pool_type", "argmax") == "argmax" and not text.get("embed_cls") and "hf_model_name" not in text
    if argmax and whole[-1] != len(inner.tokenizer) - 1:
        raise UserError(
            f"{where}: its end of text is not the largest token, but the text tower expects that (pool_type: argmax); "
            "set pool_type: eos."
        )
    return ForeignTokenizer(inner, None, None, oddity, starts[0], words[-1], inner.context_length)
