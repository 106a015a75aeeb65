"""Tokenizes texts with open_clip's tokenizers, which are loaded without importing open_clip if possible."""

import importlib.util
import sys
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer.

    Attributes:
        inner: open_clip's tokenizer.
        sot: id of the start of text, None if it has none.
        eot: id of the end of text, None if it has none.
        oddity: why its prompts need the literal text encoder; None for CLIP's byte-pair tokenizer.
        front: number of tokens before a text.
        placeholder: a token for context vectors that is neither padding nor special.
        context_length: tokens of a padded prompt; None for the tower's context length.
    """

    inner: Any
    sot: int | None
    eot: int | None
    oddity: str | None = None
    front: int = 1
    placeholder: int = 343  # "x</w>"
    context_length: int | None = None

    def encode(self, text: str) -> list[int]:
        """Token ids of a text without start and end."""
        return list(self.inner.encode(text))

    def whole(self, text: str) -> tuple[int, ...]:
        """Token ids of a text with start and end."""
        assert self.sot is not None and self.eot is not None  # a tokenizer without them has a `whole` of its own
        return (self.sot, *self.encode(text), self.eot)

    def ended(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """The tokens of a prompt up to the first EOT, where CLIP pools."""
        return tokens[: tokens.index(self.eot) + 1]

    def padded(self, tokens: tuple[int, ...], length: int) -> tuple[int, ...]:
        """Tokens and context slots of a prompt, padded to the context length; unchanged if trailing zeros are harmless."""
        return tokens

    def length(self, name: str, lead: str) -> int:
        """Number of tokens of a class name after the words `lead`."""
        return len(self.encode(name))


@cache
def byte_pair() -> Tokenizer:
    """CLIP's byte-pair tokenizer (49,408 tokens)."""
    module = _tokenizer_module()
    inner = getattr(module, "_tokenizer", None) or module.SimpleTokenizer()
    return Tokenizer(inner, inner.sot_token_id, inner.eot_token_id)


class _NoTorch(ModuleType):
    """Replaces torch in annotations, its only use in open_clip/tokenizer.py before tensors are created."""

    def __getattr__(self, name: str) -> None:
        return None


def _tokenizer_module() -> ModuleType:
    """Imports only open_clip/tokenizer.py, without torch: the whole package also imports torchvision and timm, which takes seconds.

    Token ids need no tensors, and stages that only process names and images must start quickly. If the package is already imported,
    its module has read the vocabulary.
    """
    if imported := sys.modules.get("open_clip.tokenizer"):
        return imported
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
