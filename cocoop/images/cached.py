"""Cached image features: views for trainings and test images for evaluations."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocoop import io
from cocoop.config.draw import CLIP_LORA
from cocoop.errors import UserError
from cocoop.images import feature_file
from cocoop.images.inputs import ALIKE, Source, TestImages, TrainingImages, check_draw, made_with, stacked
from cocoop.run import Run
from cocoop.splits import class_subset


class Cached:
    """Image features (S, V, N, E); epoch e sees view (e + shift) mod V."""

    def __init__(self, features: Tensor, shift: int = 0) -> None:
        self.features, self.images, self.shift = features, features.shape[2], shift
        self.rows = torch.arange(len(features), device=features.device)[:, None]

    def batches(self, epoch: int, visit: Tensor, size: int, steps: int) -> Iterator[Tensor]:
        """Features (S, B, E)."""
        view = self.features[:, (epoch + self.shift) % self.features.shape[1]]
        for step in range(steps):
            yield view[self.rows, visit[:, step * size : (step + 1) * size]]

    def of_seed(self, index: int) -> "Cached":
        """The features of one seed."""
        return Cached(self.features[index : index + 1], self.shift)

    def second(self) -> "Cached":
        """The views of the next epoch: each is another view of the same image, for which nothing has to be encoded."""
        return Cached(self.features, self.shift + 1)


class CachedLocal:
    """Local image features like `Cached`, but read from the files when they are needed, because they may exceed the memory.

    parts: for each file, the features (V of the file, N, 1 + L, E) of each seed, mapped into memory; device: of the batches.
    """

    def __init__(self, parts: Sequence[Sequence[Tensor]], device: torch.device) -> None:
        self.parts, self.device, self.images = parts, device, parts[0][0].shape[1]
        self.views = [[of[view] for of in part] for part in parts for view in range(len(part[0]))]

    @property
    def features(self) -> Tensor:
        """All features (S, V, N, 1 + L, E) in memory, float32."""
        return torch.stack([torch.cat(of_seed) for of_seed in zip(*self.parts, strict=True)]).to(self.device).float()

    def batches(self, epoch: int, visit: Tensor, size: int, steps: int) -> Iterator[Tensor]:
        """Features (S, B, 1 + L, E)."""
        view, visit = self.views[epoch % len(self.views)], visit.cpu()
        for step in range(steps):
            chosen = visit[:, step * size : (step + 1) * size]
            yield torch.stack([of[rows] for of, rows in zip(view, chosen, strict=True)]).to(self.device)

    def of_seed(self, index: int) -> "CachedLocal":
        """The features of one seed."""
        return CachedLocal([part[index : index + 1] for part in self.parts], self.device)


def load_views(run: Run, paths: Sequence[Path], fingerprint: str, device: torch.device) -> TrainingImages:
    """Reads the files of a run's views, in order.

    fingerprint: fingerprint of the weights that must have encoded the views.
    Raises a UserError for a file with different settings, seeds, weights or precision, for files from different lists of
    images, and for views that are missing or not finite; Unequal if the seeds have different numbers of images.
    """
    expect = _expected(run, fingerprint, "train")
    parts, facts = [], []
    for path in paths:
        features, labels, metadata = _read(run, path, expect)
        expect |= {key: metadata[key] for key in ALIKE}
        parts.append(features)
        facts.append(metadata)
    _check_epochs(paths, [metadata["epochs"] for metadata in facts], run.views)
    subset = names_of(run, facts[0])
    made = made_of(run, facts)
    if run.local:
        source: Source = CachedLocal(parts, device)
        return TrainingImages(source, labels.to(device), subset, made, source)
    source = Cached(torch.cat([torch.stack(part) for part in parts], 1).to(device))  # (S, V, N, E)
    second = source.second() if "second_view" in run.needs else None
    return TrainingImages(source, labels.to(device), subset, made, source, second=second)


def made_of(run: Run, facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`TrainingImages.made` of files of features with this metadata."""
    first = facts[0]
    said = {key: first[key] for key in (*ALIKE, "notes", "on_white") if key in first}
    return said | {"views": digest(run, facts)}


def names_of(run: Run, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes trained on, from the metadata of a file of the dataset."""
    names = facts["classnames"]
    return tuple(names[label] for label in class_subset(range(len(names)), run.subset))


def load_validation(
    run: Run, path: Path, fingerprint: str, device: torch.device, split: str = "val"
) -> tuple[tuple[Tensor, Tensor], dict[str, Any]]:
    """Features (S, Nv, ...) and labels (S, Nv) without augmentation, and the settings that produced them.

    split: val for the validation draw, train for all training images.
    """
    features, labels, facts = _read(run, path, _expected(run, fingerprint, split) | {"epochs": None})
    return (torch.stack([of[0] for of in features]).to(device).float(), labels.to(device)), facts


def originals(run: Run, path: Path, facts: Mapping[str, Any], labels: Tensor) -> Tensor:
    """For each of the training images with these labels (S, N), where its first copy is among them (S, N).

    path, facts: their file and its metadata. Raises a UserError if the file does not say it, but the draw may repeat images.
    """
    if run.draw.like != CLIP_LORA:
        return torch.arange(labels.shape[1]).expand(len(labels), -1)
    if missing := [seed for seed in run.seeds if f"seed{seed}.originals" not in facts]:
        raise UserError(f"{path}: does not say which images of seed {missing[0]} are copies; delete it and run again.")
    return torch.tensor([facts[f"seed{seed}.originals"] for seed in run.seeds])


def load_test(path: Path, expect: Mapping[str, Any], like: Tensor) -> TestImages:
    """Reads test features. expect: metadata that the file must have; like: a tensor with the device and dtype of the result."""
    tensors, facts = feature_file.load(path, "features", expect)
    features = tensors["features"]
    if not facts.get("local"):
        features = features.to(like.device, like.dtype)

    def batches(index: Tensor, at_once: int) -> Iterator[Tensor]:
        for part in index.to(features.device).split(at_once):
            yield features[part].to(like.device, like.dtype)

    tokens = features.shape[1] if facts.get("local") else 1
    return TestImages(tuple(facts["classnames"]), tensors["labels"], batches, tokens)


def digest(run: Run, facts: Sequence[Any]) -> str:
    """A digest of the inputs of a training."""
    return io.sha256_text(io.canonical_json([run.to_dict(), *facts]))


def _expected(run: Run, fingerprint: str, split: str) -> dict[str, Any]:
    described = {"dataset": run.dataset, "split": split, "subset": run.subset, "shots": run.shots}
    return described | made_with(run, fingerprint)


def _read(run: Run, path: Path, expect: Mapping[str, Any]) -> tuple[list[Tensor], Tensor, dict[str, Any]]:
    """Features (V, N, ...) of each of the run's seeds, labels (S, N) and metadata of one file."""
    tensors, metadata = feature_file.load(path, "views", expect)
    if missing := set(run.seeds) - set(metadata["seeds"]):
        raise UserError(f"{path}: has no views of seed {min(missing)}; delete it and run again.")
    check_draw(run, {seed: metadata.get(f"seed{seed}.draw", {}) for seed in run.seeds}, str(path))
    features = [tensors[f"seed{seed}.features"] for seed in run.seeds]
    labels = stacked([tensors[f"seed{seed}.labels"] for seed in run.seeds])
    if not all(view.isfinite().all() for of_seed in features for view in of_seed):
        raise UserError(f"{path}: features of {run.dataset} hold NaN or infinity; delete the file and run again.")
    return features, labels, metadata


def _check_epochs(paths: Sequence[Path], found: Sequence[Sequence[int] | None], views: int) -> None:
    """Checks that the files contain views 0 to V, each once; images without augmentation are one file without epochs."""
    here = [epoch for edges in found if edges for epoch in range(*edges)]
    if here != list(range(views)) or (not views and len(found) != 1):
        raise UserError(
            f"--views {' '.join(map(str, paths))}: contain views {here}, but this run needs {views} starting at 0."
        )
