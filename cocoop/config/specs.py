"""What the YAML files say, as typed values: backbones, datasets, variants, experiments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cocoop.manifest import SPLITS


@dataclass(frozen=True)
class BackboneSpec:
    """A frozen open_clip model.

    model: an open_clip architecture name, or the path of an open_clip JSON config (relative to the repository).
    pretrained: a tag of open_clip, the path of a checkpoint, or None for random weights (speed measurements only).
    precision: fp32, bf16 or fp16 (autocast, learned tensors in fp32), or reference-fp16 (everything half).
    preprocessing: a tag of open_clip whose values hold, or some of mean, std, interpolation and resize_mode; None: as
    `cocoop.backbone.preprocessing` finds them.
    """

    name: str
    label: str
    model: str
    pretrained: str | None
    precision: str = "fp32"
    preprocessing: str | Mapping[str, Any] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the features: everything but the label. `preprocessing` is there if the YAML file has it."""
        found = {"name": self.name, "model": self.model, "pretrained": self.pretrained, "precision": self.precision}
        return found | ({"preprocessing": self.preprocessing} if self.preprocessing else {})


@dataclass(frozen=True)
class DatasetSpec:
    """One file of config/datasets, validated; `settings` is the whole mapping (workflow/schemas/dataset.schema.yaml)."""

    name: str
    settings: Mapping[str, Any]

    @property
    def title(self) -> str:
        return self.settings["title"]

    @property
    def template(self) -> str:
        """The hand-crafted prompt of zero-shot CLIP, with one `{}` for the class name."""
        return self.settings["template"]

    @property
    def folder(self) -> str:
        """The dataset's folder below the data root."""
        return self.settings.get("folder", self.name)

    @property
    def sizes(self) -> dict[str, int | None]:
        """Published number of images per split; None where not published or no such split."""
        sizes = self.settings.get("sizes", {})
        return {split: sizes.get(split) for split in SPLITS}

    @property
    def about(self) -> int | None:
        """Test images that one source states, for estimates only; None where not stated so."""
        return self.settings.get("about", {}).get("test")

    @property
    def test_only(self) -> bool:
        """True for datasets that are only tested on (the ImageNet variants)."""
        return bool(self.settings.get("test_only", False))


@dataclass(frozen=True)
class TrainingSpec:
    """SGD with cosine annealing and constant warm-up (protocol: optimizer, lr_schedule)."""

    epochs: int
    batch_size: int
    lr: float
    warmup_epochs: int
    warmup_lr: float
    momentum: float
    weight_decay: float


@dataclass(frozen=True)
class VariantSpec:
    """A method with its settings: one entry of a file in config/methods.

    method: the file's name; implementation: "module:Class"; version: counts deliberate changes of the method's numbers;
    learns: nothing, by_gradient or by_itself; inputs: features (cached) or images;
    plain_views: trains on the test transform instead of augmented views;
    class_bound: what is learned only fits the classes trained on.
    """

    name: str
    label: str
    method: str
    implementation: str
    version: int
    learns: str
    inputs: str
    plain_views: bool
    class_bound: bool
    params: Mapping[str, Any]
    training: TrainingSpec | None
    per_dataset: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    per_shots: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def trainable(self) -> bool:
        """Whether there is anything to learn; without it there is one evaluation and no shots, seeds or training."""
        return self.learns != "nothing"

    def training_on(self, dataset: str, shots: int) -> TrainingSpec | None:
        """The settings of SGD on one dataset with so many shots (the reference changes epochs with both); None without SGD."""
        if self.training is None:
            return None
        special = {**self.per_shots.get(shots, {}), **self.per_dataset.get(dataset, {})}
        return TrainingSpec(**{**vars(self.training), **special})


@dataclass(frozen=True)
class ExperimentSpec:
    """A named grid of runs and evaluations and the table and figure it becomes: one file of config/experiments.

    targets: the datasets tested on; empty means the dataset trained on.
    """

    name: str
    title: str
    table: str
    caption: str
    paper: str | None
    variants: tuple[str, ...]
    train_datasets: tuple[str, ...]
    train_subset: str
    shots: tuple[int, ...]
    targets: tuple[str, ...]
    target_subsets: tuple[str, ...]
