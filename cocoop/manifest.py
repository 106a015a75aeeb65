"""The manifest: a dataset's images and class names, checked against the disk, in the order used by few-shot draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from cocoop import io

SPLITS = ("train", "val", "test")


class Item(NamedTuple):
    """One image: its path relative to the dataset's folder, and its label."""

    path: str
    label: int


@dataclass(frozen=True)
class Manifest:
    """Images of the three splits in listing order; `classnames[label]` is the name used in prompts.

    image_bytes: digest of the sizes of their files (`data.on_disk.image_bytes`), to tell images of the same names apart.
    on_white: whether transparent images are pasted onto white instead of losing their transparency.
    """

    dataset: str
    classnames: tuple[str, ...]
    splits: dict[str, tuple[Item, ...]]
    notes: tuple[str, ...] = ()
    image_bytes: str = ""
    on_white: bool = False

    def __post_init__(self) -> None:
        for split in SPLITS:
            self.splits.setdefault(split, ())

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of names, paths, labels and sizes; all files derived from the dataset refer to it."""
        return io.sha256_text(io.canonical_json(self._content()))

    def labels(self, split: str) -> list[int]:
        """Labels of a split in listing order."""
        return [item.label for item in self.splits[split]]

    def _content(self) -> dict:
        return {
            "dataset": self.dataset,
            "classnames": list(self.classnames),
            "splits": {split: [list(item) for item in self.splits[split]] for split in SPLITS},
            **({"image_bytes": self.image_bytes} if self.image_bytes else {}),
            **self.background,
        }

    @property
    def background(self) -> dict[str, bool]:
        """What the metadata of files made from its images say of transparency: `on_white`, or nothing."""
        return {"on_white": True} if self.on_white else {}

    def save(self, path: str | Path) -> None:
        """Writes the manifest as checksummed JSON."""
        io.write_json(path, {"schema": 1, "kind": "manifest", "notes": list(self.notes), **self._content()})

    @classmethod
    def load(cls, path: str | Path) -> "Manifest":
        """Reads a manifest; a corrupt file raises a UserError."""
        body = io.read_json(path, "manifest")
        splits = {split: tuple(Item(*item) for item in body["splits"][split]) for split in SPLITS}
        more = {key: body[key] for key in ("image_bytes", "on_white") if key in body}
        return cls(body["dataset"], tuple(body["classnames"]), splits, tuple(body["notes"]), **more)


def counts_per_class(labels: Sequence[int], classes: int) -> list[int]:
    """Number of images of each label 0..classes-1."""
    counts = [0] * classes
    for label in labels:
        counts[label] += 1
    return counts
