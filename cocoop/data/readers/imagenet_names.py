"""ImageNet's class names as CLIP uses them: from classnames.txt, or from the libraries that ship them."""

import ast
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cocoop.data.readers.base import lines, malformed, numbered
from cocoop.errors import UserError


@dataclass(frozen=True)
class ImageNetNames:
    """Synsets in label order and their names. origin: the source of the names, as a note."""

    synsets: tuple[str, ...]
    names: tuple[str, ...]
    origin: str

    @classmethod
    def find(cls, files: Sequence[Path]) -> "ImageNetNames":
        """Names from the first existing file, else those that open_clip ships (equal to CLIP's notebook)."""
        for path in files:
            if path.exists():
                return cls._read(path)
        return cls(_synsets(), _open_clip_names(), "class names: CLIP's, as shipped by open_clip")

    @classmethod
    def _read(cls, path: Path) -> "ImageNetNames":
        pairs = [line.partition(" ") for line in lines(path)]
        for synset, _, name in pairs:
            if not name:
                raise malformed(path, synset, '"<synset> <class name>"')
        numbered([synset for synset, _, _ in pairs], path)
        return cls(tuple(p[0] for p in pairs), tuple(p[2] for p in pairs), f"class names: {path.name}")

    @cached_property
    def _by_synset(self) -> dict[str, str]:
        return dict(zip(self.synsets, self.names, strict=True))

    def of(self, synset: str, folder: Path) -> str:
        """The name of a synset folder."""
        if synset not in self._by_synset:
            raise UserError(f"{folder}: folder {synset!r} is not an ImageNet synset; move it away.")
        return self._by_synset[synset]


def _open_clip_names() -> tuple[str, ...]:
    """open_clip's class names, read as data without importing open_clip, which would import torch."""
    tree = ast.parse((_package("open_clip") / "zero_shot_metadata.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "IMAGENET_CLASSNAMES":
            return tuple(ast.literal_eval(node.value))
    raise _not_shipped("open_clip")


def _synsets() -> tuple[str, ...]:
    """The 1000 synsets in label order, from timm, which open_clip depends on."""
    return tuple(lines(_package("timm") / "data" / "_info" / "imagenet_synsets.txt"))


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise _not_shipped(name)
    return Path(next(iter(found.submodule_search_locations)))


def _not_shipped(package: str) -> UserError:
    return UserError(
        f"ImageNet class names: {package} does not ship them; put classnames.txt into the dataset's folder."
    )
