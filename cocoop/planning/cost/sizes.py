"""Sizes of datasets (from their YAML files or manifests) and backbones (from their open_clip configs), as far as known."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cocoop.config import BackboneSpec, DatasetSpec, architectures
from cocoop.manifest import Manifest
from cocoop.planning import Plan
from cocoop.planning.cost import operations
from cocoop.planning.stages import MANIFEST
from cocoop.splits import class_subset

FLOAT_BYTES, HALF_BYTES = 4, 2
RESNET_STRIDE = 32  # pixels per place of a ResNet's last map
LITERAL = {
    "hf_tokenizer_name",
    "hf_model_name",
    "tokenizer_kwargs",
    "embed_cls",
    "proj_bias",
    "act_kwargs",
    "ls_init_value",
}


@dataclass(frozen=True)
class DatasetSize:
    """Numbers of classes and test images of a dataset.

    Attributes:
        classes: number of classes.
        test_images: number of test images.
        classnames: names in label order; empty if unknown.
        per_label: test images per label; empty if unknown, and then assumed to be equal.
        download_bytes: published size of the download.
        train_images: number of training images; None if unknown.
        estimated: whether the number of test images is unverified.
    """

    classes: int
    test_images: int
    classnames: tuple[str, ...] = ()
    per_label: tuple[int, ...] = ()
    download_bytes: int = 0
    estimated: bool = False
    train_images: int | None = None

    def labels(self, subset: str) -> tuple[int, ...]:
        """Labels of a subset."""
        return _labels(self.classes, subset)

    def images_of(self, subset: str) -> int:
        """Number of test images of a subset."""
        labels = self.labels(subset)
        if self.per_label:
            return sum(self.per_label[label] for label in labels)
        return round(self.test_images * len(labels) / self.classes)


@cache
def _labels(classes: int, subset: str) -> tuple[int, ...]:
    return tuple(class_subset(range(classes), subset))


@dataclass(frozen=True)
class BackboneSize:
    """Dimensions of a backbone; None if open_clip has no config of the architecture.

    Attributes:
        embed_dim: E, the size of a feature.
        context_length: tokens per prompt.
        places: L, the number of local features of an image.
        state: numbers in the state of an image between two layers of a vision transformer.
        layers: layers of a vision transformer.
        literal: whether the text encoder computes all tokens of every prompt (cocoop/text/literal.py), according to the config.
        image_operations: operations of one image's forward pass; None for image encoders that are not CLIP's.
        text: the text tower; None if the config does not say its dimensions.
    """

    embed_dim: int | None
    context_length: int | None
    literal: bool = False
    places: int | None = None
    state: int | None = None
    layers: int | None = None
    image_operations: int | None = None
    text: operations.TextTower | None = None

    def feature_bytes(self, images: int, local: bool = False) -> int | None:
        """Bytes on disk for this many images' features, without or with local ones; None if E or L is unknown."""
        if self.embed_dim is None or (local and self.places is None):
            return None
        values = images * self.embed_dim
        return values * (1 + (self.places or 0)) * HALF_BYTES if local else values * FLOAT_BYTES


def dataset_sizes(plan: Plan, folder: Path) -> dict[str, DatasetSize]:
    """Sizes of the plan's datasets, without those whose size is unknown before the download.

    folder: the working folder; a manifest in its results is exact and takes precedence over the dataset's YAML file.
    """
    sizes = {name: _from_manifest(folder, spec) or _published(spec) for name, spec in plan.datasets.items()}
    return {name: size for name, size in sizes.items() if size}


def _from_manifest(folder: Path, spec: DatasetSpec) -> DatasetSize | None:
    path = folder / MANIFEST.outputs["manifest"].format(dataset=spec.name, id=spec.data)
    if not path.exists():
        return None
    manifest = Manifest.load(path)
    labels = manifest.labels("test")
    per_label = tuple(labels.count(label) for label in range(len(manifest.classnames)))
    return DatasetSize(
        len(manifest.classnames), len(labels), manifest.classnames, per_label, _download_bytes(spec),
        train_images=len(manifest.splits["train"]),
    )  # fmt: skip


def _published(spec: DatasetSpec) -> DatasetSize | None:
    classes, published = spec.settings.get("classes"), spec.sizes["test"]
    images = published or spec.about
    if not classes or not images:
        return None
    train = spec.sizes["train"]
    return DatasetSize(
        classes, images, download_bytes=_download_bytes(spec), estimated=not published, train_images=train
    )


def _download_bytes(spec: DatasetSpec) -> int:
    return sum(file.get("bytes") or 0 for file in spec.settings.get("download", ()))


def backbone_size(spec: BackboneSpec) -> BackboneSize:
    """Reads the open_clip config of the architecture without importing open_clip."""
    config = architectures.config(spec)
    text, vision = config.get("text_cfg", {}), config.get("vision_cfg", {})
    other = text.get("no_causal_mask") or text.get("pool_type", "argmax") != "argmax"
    literal = bool(other or LITERAL & set(text))
    return BackboneSize(
        config.get("embed_dim"), text.get("context_length"), literal,
        _places(vision), _state(vision), _layers(vision),
        operations.of_image(config), operations.text_tower(config, literal),
    )  # fmt: skip


def _places(vision: Mapping) -> int | None:
    """L: the patches of a vision transformer, or the places of the last map of CLIP's ResNet; None if the config does not say."""
    patch = RESNET_STRIDE if isinstance(vision.get("layers"), list) else vision.get("patch_size")
    size = vision.get("image_size")
    return (size // patch) ** 2 if isinstance(size, int) and isinstance(patch, int) else None


def _state(vision: Mapping) -> int | None:
    """Tokens times width of a vision transformer of open_clip; None for other image encoders."""
    found = [vision.get(name) for name in ("image_size", "patch_size", "width")]
    numbers = [value for value in found if isinstance(value, int)]
    if len(numbers) < len(found):
        return None
    size, patch, width = numbers
    return (1 + (size // patch) ** 2) * width


def _layers(vision: Mapping) -> int | None:
    layers = vision.get("layers")
    return layers if isinstance(layers, int) else None
