"""Live images for methods that cannot use cached features. Imports the image encoder, which other runs do not need."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocoop.backbone.model import Backbone
from cocoop.errors import UserError
from cocoop.images import extraction, views
from cocoop.images.cached import digest
from cocoop.images.decoding import Decoder, Task, on_device
from cocoop.images.inputs import TestFiles, TestImages, TrainingFiles, TrainingImages, check_draw, stacked
from cocoop.manifest import Manifest
from cocoop.run import Run
from cocoop.splits import class_subset, load_few_shot


class Live:
    """Pixels, decoded again in every epoch: the same views that `images/views.py` encodes.

    selected: the images of each seed.
    number: V, the number of views that epochs cycle through; 0 for the test transform.
    """

    def __init__(
        self, whole: Backbone, root: Path, selected: Mapping[int, views.Selected], number: int, workers: int
    ) -> None:
        self.whole, self.root, self.selected = whole, Path(root), selected
        self.number, self.workers = number, workers
        self.images = len(next(iter(selected.values())).paths)
        self.decoder = Decoder(whole.preprocessing, workers, str(root))  # its processes stay for all epochs

    def batches(self, epoch: int, visit: Tensor, size: int, steps: int) -> Iterator[Tensor]:
        """Normalised pixels (S, B, 3, H, W)."""
        epochs = [epoch % self.number] if self.number else None
        tasks = [task for seed, of in self.selected.items() for task in views.tasks(self.root, seed, of, epochs)]
        numbers = visit.cpu() + self.images * torch.arange(len(self.selected))[:, None]  # (S, N) indices of tasks
        groups = [numbers[:, step * size : (step + 1) * size].flatten().tolist() for step in range(steps)]
        for crops in self.decoder.crops([[tasks[at] for at in group] for group in groups]):
            pixels = self.whole.preprocessing.normalise(on_device(crops, self.whole.device))
            yield pixels.unflatten(0, (len(self.selected), -1))

    def of_seed(self, index: int) -> "Live":
        """The images of one seed alone."""
        seed = list(self.selected)[index]
        return Live(self.whole, self.root, {seed: self.selected[seed]}, self.number, self.workers)


def load_live(run: Run, files: TrainingFiles, whole: Backbone, split: str = "train") -> TrainingImages:
    """The images of a run; like `cached.load_views`, which reads their features.

    split: train, or val for the validation draw, without augmentation.
    Raises Unequal if the seeds have different numbers of images.
    """
    assert files.manifest is not None and files.root is not None  # the stage has asked for them
    manifest = Manifest.load(files.manifest)
    drawn = {selection["seed"]: selection for selection in map(load_few_shot, files.fewshot)}
    if missing := set(run.seeds) - set(drawn):
        raise UserError(
            f"--fewshot: no selection for seed {min(missing)}; give one for each of the seeds {list(run.seeds)}."
        )
    check_draw(run, {seed: drawn[seed].get("draw", {}) for seed in run.seeds}, "--fewshot")
    selected = {seed: views.select(manifest, drawn[seed], run.subset, split) for seed in run.seeds}
    labels = stacked([torch.tensor(of.labels) for of in selected.values()])
    inside = class_subset(range(len(manifest.classnames)), run.subset)
    paths = [[seed, *of.paths] for seed, of in selected.items()]
    made = {
        "manifest": manifest.fingerprint,
        "preprocessing": whole.preprocessing.settings,
        "notes": list(manifest.notes),
        "views": digest(run, paths),
        **manifest.background,
    }
    live = Live(whole, files.root, selected, run.views if split == "train" else 0, files.workers)
    return TrainingImages(live, labels.to(whole.device), tuple(manifest.classnames[label] for label in inside), made)


def load_test(files: TestFiles, expect: Mapping[str, Any], whole: Backbone) -> TestImages:
    """Normalised pixels (B, 3, H, W) with the test transform, from a manifest that must match `expect`."""
    assert files.manifest is not None and files.root is not None  # the stage has asked for them
    manifest = Manifest.load(files.manifest)
    found = {
        "dataset": manifest.dataset,
        "manifest": manifest.fingerprint,
        "preprocessing": whole.preprocessing.settings,
    }
    for key in sorted(found.keys() & expect.keys()):
        if found[key] != expect[key]:
            raise UserError(f"{files.manifest}: its {key} differs from that of the training; train again.")
    root = Path(files.root)
    tasks = [Task(root / item.path, on_white=manifest.on_white) for item in manifest.splits["test"]]
    decoder = Decoder(whole.preprocessing, files.workers, str(root))

    def batches(index: Tensor, at_once: int) -> Iterator[Tensor]:
        groups = index.split(min(at_once, extraction.BATCH_SIZE))
        for crops in decoder.crops([[tasks[at] for at in group.tolist()] for group in groups]):
            yield whole.preprocessing.normalise(on_device(crops, whole.device))

    return TestImages(tuple(manifest.classnames), torch.tensor(manifest.labels("test")), batches)
