"""A reproducible benchmark of prompt learning for CLIP-like models. Importing this package never imports torch.

`cocoop.load`, `cocoop.zero_shot` and `cocoop.train` give a prompt that classifies pictures, and `cocoop.explain` says what is
known about it (docs/python.md).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cocoop.api import Explanation, Predictions, Prompt, explain, load, train, zero_shot
    from cocoop.errors import UserError

__version__ = "0.2.0"
__all__ = ["Explanation", "Predictions", "Prompt", "UserError", "explain", "load", "train", "zero_shot"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for: `cocoop.api` imports torch, which takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module 'cocoop' has no attribute {name!r}")
    if name == "UserError":
        from cocoop import errors as found
    else:
        from cocoop import api as found  # type: ignore[no-redef]
    return getattr(found, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
