"""Live pixels, for methods that cannot use cached features. Imports the image side, which other trainings do without."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocoop import io
from cocoop.backbone import model as backbone
from cocoop.backbone.model import Backbone
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError
from cocoop.images import extraction, views
from cocoop.images.sources import ImageFiles
from cocoop.images.train_images import Inputs
from cocoop.manifest import Manifest
from cocoop.splits import class_subset, load_few_shot
from cocoop.text.text_encoder import TextEncoder


class Live:
    """Pixels, decoded anew in every epoch: the very views that `images/views.py` encodes.

    selected: the images of each seed; number: V, the views that epochs take in turn, 0 for the images as they are.
    """

    def __init__(
        self, whole: Backbone, root: Path, selected: Mapping[int, views.Selected], number: int, workers: int
    ) -> None:
        self.preprocessing, self.device = whole.preprocessing, whole.device
        self.root, self.selected, self.number, self.workers = Path(root), selected, number, workers
        self.images = len(next(iter(selected.values())).paths)

    def batches(self, epoch: int, visit: Tensor, size: int, steps: int) -> Iterator[Tensor]:
        """Normalised pixels (S, B, 3, H, W)."""
        epochs = [epoch % self.number] if self.number else None
        tasks = [views.task(self.root, seed, path, epochs) for seed, of in self.selected.items() for path in of.paths]
        numbers = visit.cpu() + self.images * torch.arange(len(self.selected))[:, None]  # (S, N) into tasks
        groups = [numbers[:, step * size : (step + 1) * size].flatten().tolist() for step in range(steps)]
        crops = extraction.Crops(self.preprocessing, tasks)
        for batch in extraction.decoded(crops, groups, self.workers, str(self.root)):
            pixels = torch.from_numpy(batch).to(self.device)
            yield self.preprocessing.normalise(pixels).unflatten(0, (len(self.selected), -1))


def image_side(settings: Mapping[str, Any], side: TextEncoder) -> Backbone:
    """The run's whole backbone, for a method that takes images; it must have the weights of the text side."""
    spec = BackboneSpec(label=settings["backbone"]["name"], **settings["backbone"])
    whole = backbone.load(spec, side.device)
    if whole.fingerprint != side.fingerprint:
        raise UserError(
            f"backbone {spec.name!r}: the text tower's file was made with other weights than {spec.pretrained}; "
            "delete the file and run again."
        )
    return whole


def load_live(settings: Mapping[str, Any], files: ImageFiles, whole: Backbone) -> Inputs:
    """The images of a run; like `load_views`, which reads cached ones."""
    manifest = Manifest.load(files.manifest)
    drawn = {selection["seed"]: selection for selection in map(load_few_shot, files.fewshot)}
    selected = {seed: views.select(manifest, drawn[seed], settings["subset"]) for seed in settings["seeds"]}
    labels = torch.tensor([of.labels for of in selected.values()])
    inside = class_subset(range(len(manifest.classnames)), settings["subset"])
    paths = [[seed, *of.paths] for seed, of in selected.items()]
    made = {
        "manifest": manifest.fingerprint,
        "preprocessing": whole.preprocessing.settings,
        "notes": list(manifest.notes),
        "views": io.sha256_text(io.canonical_json([settings, paths])),
    }
    live = Live(whole, files.root, selected, settings["views"], files.workers)
    return Inputs(live, labels.to(whole.device), [manifest.classnames[label] for label in inside], made)
