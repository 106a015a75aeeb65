"""Reads an archive of torch.save that holds more than tensors, without running anything from it.

The authors' checkpoints hold objects of a scheduler and an optimizer, which torch.load(weights_only=True) refuses as they are.
Here every class of PyTorch's optimizers, Dassl and numpy becomes an object that drops whatever it is given; no name from the
file is ever imported. A file that names anything else is refused before it is read.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cocoop.errors import UserError, listed

DROPPED = ("torch.optim.", "dassl.", "numpy.", "yacs.config.", "builtins.dict")
FILLED = "collections.defaultdict"


class Inert:
    """An object that takes and drops everything."""

    def __new__(cls, *_: Any, **__: Any) -> "Inert":
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


def load(path: Path) -> Any:
    """The content of the archive: tensors on the CPU, dictionaries, lists, numbers and texts, and `Inert` objects.

    Raises a UserError for a missing or damaged file, for another kind of file, and for one that names any other class or function.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint.")
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except Exception as error:  # torch raises nearly any error for a damaged file
        raise _damaged(path) from error
    if refused := sorted(name for name in named if name != FILLED and not name.startswith(DROPPED)):
        raise UserError(
            f"{path}: refused, because it names {listed(refused, 3)}, which no checkpoint of CoOp or CoCoOp holds and which could "
            "run code; nothing was run."
        )
    try:
        with torch.serialization.safe_globals([_stand_in(name) for name in named]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # see above
        raise _damaged(path) from error


def _stand_in(name: str) -> Callable[..., Any]:
    """What torch's restricted unpickler takes for a name: it finds it by `__module__` and `__qualname__`."""
    module, _, last = name.rpartition(".")
    if name == FILLED:

        def empty(*_: Any) -> dict[Any, Any]:
            return {}

        empty.__module__, empty.__qualname__ = module, last
        return empty
    return type(last, (Inert,), {"__module__": module, "__qualname__": last})


def _damaged(path: Path) -> UserError:
    return UserError(f"{path}: not a checkpoint that torch.save wrote, or damaged; nothing was run.")
