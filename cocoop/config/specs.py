"""Typed values of the YAML files: backbones, datasets, variants."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cocoop.config import prompts
from cocoop.config.prompts import PromptsFrom
from cocoop.config.training import TrainingSpec
from cocoop.io import identity
from cocoop.manifest import SPLITS

# Settings of a dataset that decide what is fetched, drawn or linked, and whether it is all there; and those that decide
# nothing about images, labels and class names.
OF_THE_SOURCE = ("folder", "download", "mirror", "miniature", "link", "reader", "fallback_reader")
OPTIONAL = ("preprocessing", "revision", "files")  # settings of a backbone
AUTO = {True: "fp16", False: "fp32"}  # what precision auto is, by whether there is a GPU
NOT_OF_THE_DATA = ("title", "template", "ensemble", "descriptions", "licence", "notes", "about", "manual", "test_only")


@dataclass(frozen=True)
class BackboneSpec:
    """A frozen open_clip model.

    Attributes:
        name: name of the file in config/backbones.
        model: an open_clip architecture, the path of an open_clip JSON config (`places.found`), or hf-hub:ORG/NAME.
        pretrained: an open_clip tag, the path of a checkpoint, or None: random weights (speed measurements only), or those of
            the repository of `hf-hub:`.
        precision: fp32, bf16 or fp16 (autocast, learned tensors in fp32), reference-fp16 (everything in half precision), or
            auto: fp16 on a GPU, fp32 on a CPU. Whoever plans does not know on what a job will run, so `auto` is what belongs to
            runs and paths, and every result states which of the two it was computed in.
        preprocessing: an open_clip tag whose preprocessing to use, or some of mean, std, interpolation and resize_mode;
            None to let `cocoop.backbone.preprocessing` find the values.
        revision: a commit, tag or branch of the repository of `hf-hub:`; None for its main branch.
        files: digest of the local files that `model` and `pretrained` name, None without any.
        label: the name in tables and figures; it affects no number.
        imagenet_zero_shot: the published zero-shot accuracy on ImageNet in per cent and its source; it affects no number.
    """

    name: str
    model: str
    pretrained: str | None = None
    precision: str = "fp32"
    preprocessing: str | Mapping[str, Any] | None = None
    revision: str | None = None
    files: str | None = None
    label: str = field(default="", compare=False)
    imagenet_zero_shot: tuple[float, str] | None = field(default=None, compare=False)

    def on(self, device: str) -> "BackboneSpec":
        """The backbone as a job on this device computes it: `auto` is replaced."""
        return replace(self, precision=AUTO[device.startswith("cuda")]) if self.precision == "auto" else self

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that affects the features, so not what is only shown; of OPTIONAL only what there is."""
        values = {part.name: getattr(self, part.name) for part in fields(self) if part.compare}
        return {key: value for key, value in values.items() if value or key not in OPTIONAL}

    def __hash__(self) -> int:
        return hash((self.name, self.model, self.pretrained, self.precision, self.revision, self.files))


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

    @cached_property
    def ensemble(self) -> tuple[str, ...]:
        """The hand-crafted prompts whose text features are averaged: listed, in a file, or else `prompts.general`."""
        listed, where = self.settings.get("ensemble"), f"config/datasets/{self.name}.yaml: ensemble"
        return prompts.templates(listed, where) if listed else prompts.general(self.template)

    @property
    def descriptions(self) -> Path | None:
        """A file with sentences about each class; None if the dataset has none."""
        path = self.settings.get("descriptions")
        return prompts.found(path) if path else None

    def templates(self, chosen: PromptsFrom, where: str) -> tuple[str, ...]:
        """The templates that a variant's `prompts_from` names, none for descriptions; `where` starts messages."""
        if chosen == prompts.TEMPLATE:
            return (self.template,)
        if chosen == prompts.ENSEMBLE:
            return self.ensemble
        return () if chosen == prompts.DESCRIPTIONS else prompts.templates(chosen, where)

    @property
    def source_settings(self) -> dict[str, Any]:
        """What decides the files: what is downloaded, drawn or linked, and read."""
        return {key: self.settings[key] for key in OF_THE_SOURCE if key in self.settings}

    @property
    def data_settings(self) -> dict[str, Any]:
        """What decides images, labels and class names; not prompts, titles or terms."""
        return {key: value for key, value in self.settings.items() if key not in NOT_OF_THE_DATA}

    @cached_property
    def source(self) -> str:
        """Digest of `source_settings`."""
        return identity(self.source_settings)

    @cached_property
    def data(self) -> str:
        """Digest of `data_settings`."""
        return identity(self.data_settings)

    @property
    def folder(self) -> str:
        """The dataset's folder, relative to the data root."""
        return self.settings.get("folder", self.name)

    @property
    def on_white(self) -> bool:
        """Whether transparent images are pasted onto white; else their transparency is dropped, as in the reference."""
        return self.settings.get("transparency") == "white"

    @property
    def sizes(self) -> dict[str, int | None]:
        """Published number of images per split; None if not published or if the split does not exist."""
        sizes = self.settings.get("sizes", {})
        return {split: sizes.get(split) for split in SPLITS}

    @property
    def without_val(self) -> bool:
        """Whether the dataset has published sizes, but no validation split (ImageNet)."""
        return bool(self.sizes["train"]) and not self.sizes["val"]

    @property
    def about(self) -> int | None:
        """Number of test images according to a single source, used only for estimates; None if there is no such source."""
        return self.settings.get("about", {}).get("test")

    @property
    def test_only(self) -> bool:
        """Whether the dataset serves only for testing (the ImageNet variants)."""
        return bool(self.settings.get("test_only", False))


@dataclass(frozen=True)
class VariantSpec:
    """A method and its settings: one entry of a file in config/methods.

    Attributes:
        name: the entry's key.
        label: the name in tables and figures.
        method: name of the file.
        implementation: "module:Class".
        version: increased by hand when shared code changes the method's numbers.
        code: digest of the source code of the method's module and of the modules it imports from the same package.
        learns: nothing, by_gradient or by_itself.
        inputs: features (cached) or images.
        needs: additional inputs of the method: template, validation, frozen_features, second_view, local_features.
        prompts_from: the hand-crafted prompts that it uses, under `default` and for single datasets; empty for a method that
            uses none.
        stacked: whether all seeds of a job train in one batch; otherwise they train one after another.
        plain_views: whether the method trains on the test transform instead of augmented views.
        class_bound: whether the learned tensors only work with the training classes.
        params: keyword arguments of the class.
        training: settings of gradient training; None for a method without it.
        selection: how hyper-parameters are chosen: none, val (on the validation draw) or hold_one_out (on a training image of
            each class).
        per_dataset: training settings, `params` and `selection` that differ for single datasets.
        per_shots: the same for single numbers of shots.
        temperature: none, or val: the logits are divided by a number fitted on the validation draw.
        trained_as: the variant whose training it shares, because it only adds a temperature.
    """

    name: str
    label: str
    method: str
    implementation: str
    version: int
    code: str
    learns: str
    inputs: str
    needs: tuple[str, ...]
    prompts_from: Mapping[str, PromptsFrom]
    stacked: bool
    plain_views: bool
    class_bound: bool
    params: Mapping[str, Any]
    training: TrainingSpec | None
    selection: str = "none"
    per_dataset: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    per_shots: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    temperature: str = "none"
    trained_as: str = ""

    @property
    def trainable(self) -> bool:
        """Whether anything is learned or fitted. If not, it is evaluated once, without shots, seeds or training."""
        return self.learns != "nothing" or self.temperature != "none"

    def on(self, dataset: str, shots: int) -> "VariantSpec":
        """The variant as it trains on a dataset with a number of shots (the reference varies epochs with both).

        `hold_one_out` would leave nothing of a single shot: there it becomes `none`.
        """
        special = self.per_shots.get(shots, {}), self.per_dataset.get(dataset, {})
        settings = {key: value for one in special for key, value in one.items()}
        selection = settings.pop("selection", self.selection)
        if selection == "hold_one_out" and shots < 2:
            selection = "none"
        params = {**self.params, **{name: value for one in special for name, value in one.get("params", {}).items()}}
        settings.pop("params", None)
        training = self.training and replace(self.training, **settings)
        return replace(self, params=params, training=training, selection=selection)

    def prompts_for(self, dataset: str) -> PromptsFrom | None:
        """The hand-crafted prompts that the variant uses on a dataset; None for a method without any."""
        return self.prompts_from.get(dataset, self.prompts_from.get(prompts.DEFAULT))

    def training_on(self, dataset: str, shots: int) -> TrainingSpec | None:
        """Training settings for a dataset and a number of shots; None without training."""
        return self.on(dataset, shots).training
