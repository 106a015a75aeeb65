"""Words to token ids with open_clip's own tokenizers, loaded without open_clip where that is possible."""

import importlib.util
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Tokenizer:
    """encode(text) gives the ids between start of text (sot) and end of text (eot)."""

    inner: Any
    sot: int
    eot: int

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without start and end."""
        return list(self.inner.encode(text))


@cache
def byte_pair() -> Tokenizer:
    """CLIP's byte-pair tokenizer (49,408 tokens)."""
    inner = _tokenizer_module()._tokenizer
    return Tokenizer(inner, inner.sot_token_id, inner.eot_token_id)


def _tokenizer_module() -> ModuleType:
    """open_clip/tokenizer.py alone: the whole package also imports torchvision and timm, some seconds in every job."""
    package = importlib.util.find_spec("open_clip")
    path = f"{package.submodule_search_locations[0]}/tokenizer.py"
    spec = importlib.util.spec_from_file_location("cocoop_open_clip_tokenizer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
