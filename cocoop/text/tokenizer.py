"""Words to token ids with open_clip's own tokenizers, loaded without open_clip where that is possible."""

import importlib.util
import sys
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Tokenizer:
    """encode(text) gives the ids between start of text (sot) and end of text (eot).

    oddity: why prompts made with it need the literal text path, None for CLIP's own byte pairs; front: tokens in front of a
    text; placeholder: a token that is neither padding nor special, to stand where a context vector goes; context_length: tokens
    of a padded prompt, None for what the tower takes.
    """

    inner: Any
    sot: int | None
    eot: int | None
    oddity: str | None = None
    front: int = 1
    placeholder: int = 343  # "x</w>"
    context_length: int | None = None

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without start and end."""
        return list(self.inner.encode(text))

    def whole(self, text: str) -> tuple[int, ...]:
        """Token ids of a text with start and end."""
        assert self.sot is not None and self.eot is not None  # a tokenizer without them has a `whole` of its own
        return (self.sot, *self.encode(text), self.eot)

    def ended(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """What of a prompt's tokens matters: CLIP pools at the first EOT."""
        return tokens[: tokens.index(self.eot) + 1]

    def padded(self, tokens: tuple[int, ...], length: int) -> tuple[int, ...]:
        """Tokens (and contexts) of one prompt at the tower's context length; as they are where zeros behind them do."""
        return tokens

    def length(self, name: str, lead: str) -> int:
        """How many tokens a class name has behind the words `lead`."""
        return len(self.encode(name))


@cache
def byte_pair() -> Tokenizer:
    """CLIP's byte-pair tokenizer (49,408 tokens)."""
    inner = _tokenizer_module()._tokenizer
    return Tokenizer(inner, inner.sot_token_id, inner.eot_token_id)


class _NoTorch(ModuleType):
    """Stands for torch in annotations, all that open_clip/tokenizer.py needs of it before it makes tensors."""

    def __getattr__(self, name: str) -> None:
        return None


def _tokenizer_module() -> ModuleType:
    """open_clip/tokenizer.py alone, without torch: the whole package also imports torchvision and timm, seconds in every job.

    Token ids need no tensors, and the stages that only look at names and images must start fast.
    """
    package = importlib.util.find_spec("open_clip")
    assert package is not None and package.submodule_search_locations is not None  # a dependency, and a folder
    path = f"{package.submodule_search_locations[0]}/tokenizer.py"
    spec = importlib.util.spec_from_file_location("cocoop_open_clip_tokenizer", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    absent = "torch" not in sys.modules
    if absent:
        sys.modules["torch"] = _NoTorch("torch")
    try:
        spec.loader.exec_module(module)
    finally:
        if absent:
            del sys.modules["torch"]
    return module
