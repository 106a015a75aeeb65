"""Goldens of successor methods: numbers that their authors' own code gave on the golden CLIP, case by case."""

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from torch import Tensor

from cocoop.backbone.transforms import Preprocessing
from tests import reference
from tests.reference import facts

FOLDER = Path(__file__).parents[1] / "goldens_successors"
FOLDERS = [FOLDER, *reference.FURTHER]
TRAIN_LABELS = facts()["train_labels"]


@dataclass(frozen=True)
class Case:
    """One case of METHOD.npz and METHOD.json (or METHOD-NAME.*).

    clips: architectures and weight seeds of the CLIPs that the file brings, by name.
    """

    method: str
    name: str
    settings: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    clips: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.name}"

    @property
    def clip(self) -> Mapping[str, Any]:
        """Architecture and weight_seed of the case's CLIP, where the file brings its own."""
        return self.clips[self.settings["clip"]]

    @property
    def model(self) -> open_clip.CLIP:
        """The frozen CLIP of the case: one of its file's `clips`, or the golden one with the case's `architecture`."""
        named = self.clips.get(self.settings.get("clip", ""), {})
        own = named.get("architecture", {}) | self.settings.get("architecture", {})
        architecture = facts()["architecture"] | own
        return _model(json.dumps(architecture), named.get("weight_seed", facts()["weight_seed"]))

    def pixels(self, prefix: str) -> Tensor:
        """The pictures of the goldens (`reference.golden_images`) as the case's CLIP takes them, (N, 3, H, W)."""
        size = self.model.visual.image_size
        side = size[0] if isinstance(size, tuple) else size
        return _pixels(prefix, side)

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
            yield Case(path.stem.split("-")[0], name, settings, arrays, content.get("clips", {}))


CASES = [case for folder in FOLDERS for case in read(folder)]


@cache
def _model(architecture: str, weight_seed: int) -> open_clip.CLIP:
    return reference.model_by_formula(json.loads(architecture), weight_seed)


@cache
def _pixels(prefix: str, side: int) -> Tensor:
    clip = Preprocessing(side, open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    return torch.stack(
        [clip.normalise(torch.from_numpy(clip.test(picture))) for picture in reference.golden_images(prefix)]
    )
