"""Goldens of successor methods: numbers that their authors' own code gave on the golden CLIP, case by case."""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.reference import facts

FOLDER = Path(__file__).parents[1] / "goldens_successors"
FOLDERS = [FOLDER, *([Path(os.environ["COCOOP_GOLDENS"])] if os.environ.get("COCOOP_GOLDENS") else [])]
TRAIN_LABELS = facts()["train_labels"]


@dataclass(frozen=True)
class Case:
    """One case of METHOD.npz and METHOD.json (or METHOD-NAME.*).

    clip: architecture and weight_seed of the case's CLIP, where the file brings its own.
    """

    method: str
    name: str
    settings: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    clip: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.name}"

    def array(self, name: str) -> Tensor:
        """The array `{case}_{name}`."""
        return torch.from_numpy(np.array(self.arrays[f"{self.name}_{name}"]))

    def has(self, name: str) -> bool:
        return f"{self.name}_{name}" in self.arrays

    def given(self, name: str) -> Tensor:
        """A learned tensor at which the goldens were taken, by their formula."""
        about = self.settings["learned"][name]
        draw = np.random.RandomState((zlib.crc32(name.encode()) + self.settings["given_seed"]) % 2**32)
        base, scale = about["given"]
        return torch.from_numpy((base + scale * draw.standard_normal(about["shape"])).astype(np.float32))

    @property
    def classnames(self) -> tuple[str, ...]:
        """Trained on."""
        return tuple(self.settings["classnames"])

    @property
    def kept(self) -> list[int]:
        """The training pictures of these classes; base classes are the first ones."""
        return [i for i, label in enumerate(TRAIN_LABELS) if label < len(self.classnames)]

    @property
    def train_labels(self) -> Tensor:
        """(N,)."""
        return torch.tensor([TRAIN_LABELS[i] for i in self.kept])


def read(folder: Path) -> Iterator[Case]:
    """All cases of a folder."""
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if "cases" not in content or not path.with_suffix(".npz").exists():
            continue
        with np.load(path.with_suffix(".npz")) as stored:
            arrays = dict(stored)
        for name, settings in content["cases"].items():
            clip = content["clips"][settings["clip"]] if "clip" in settings else None
            yield Case(path.stem.split("-")[0], name, settings, arrays, clip)


CASES = [case for folder in FOLDERS for case in read(folder)]
