"""The test images an evaluation classifies: cached features, or pixels for methods that take images."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from cocoop.errors import UserError
from cocoop.images import feature_file
from cocoop.images.sources import ImageFiles
from cocoop.manifest import Manifest
from cocoop.text.text_encoder import TextEncoder

if TYPE_CHECKING:
    from cocoop.backbone.model import Backbone


class Tested(NamedTuple):
    """classnames of the dataset; truth (N,) labels; batches(index (n,), at_once): the classifier's inputs of these images."""

    classnames: list[str]
    truth: Tensor
    batches: Callable[[Tensor, int], Iterator[Tensor]]


def cached(path: Path, expect: Mapping[str, Any], side: TextEncoder) -> Tested:
    """Features (B, E) from a file that must say what is expected of it."""
    tensors, facts = feature_file.load(path, "features", expect)
    features = tensors["features"].to(side.device, side.dtype)

    def batches(index: Tensor, at_once: int) -> Iterator[Tensor]:
        yield from features[index.to(features.device)].split(at_once)

    return Tested(facts["classnames"], tensors["labels"], batches)


def live(files: ImageFiles, expect: Mapping[str, Any], whole: "Backbone") -> Tested:
    """Normalised pixels (B, 3, H, W) under the test transform, of a manifest that must be the expected one."""
    from cocoop.images import extraction

    manifest = Manifest.load(files.manifest)
    found = {
        "dataset": manifest.dataset,
        "manifest": manifest.fingerprint,
        "preprocessing": whole.preprocessing.settings,
    }
    for key in sorted(found.keys() & expect.keys()):
        if found[key] != expect[key]:
            raise UserError(f"{files.manifest}: {key} is not the one of the training; train again.")
    tasks = [extraction.Task(Path(files.root) / item.path) for item in manifest.splits["test"]]
    crops = extraction.Crops(whole.preprocessing, tasks)

    def batches(index: Tensor, at_once: int) -> Iterator[Tensor]:
        groups = [part.tolist() for part in index.split(min(at_once, extraction.BATCH_SIZE))]
        for batch in extraction.decoded(crops, groups, files.workers, str(files.root)):
            yield whole.preprocessing.normalise(torch.from_numpy(batch).to(whole.device))

    return Tested(list(manifest.classnames), torch.tensor(manifest.labels("test")), batches)
