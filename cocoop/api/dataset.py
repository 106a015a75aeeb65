"""The dataset of a training in Python: a folder of pictures described like `dataset new` does, or one of config/datasets."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.config import Registry
from cocoop.config.specs import BackboneSpec, DatasetSpec
from cocoop.config.validation import validate
from cocoop.data.naming import from_path
from cocoop.data.new import write_yaml
from cocoop.errors import UserError
from cocoop.places import expanded
from cocoop.text.tokenizer import byte_pair

logger = logging.getLogger(__name__)


class WithOwn(Registry):
    """The registries with a dataset, a backbone and experiments that need no files."""

    def __init__(self, own: Mapping[tuple[str, str], dict[str, Any]], backbone: BackboneSpec, **options: Any) -> None:
        super().__init__(**options)
        self.own, self.chosen = own, backbone

    def names(self, kind: str) -> list[str]:
        return sorted({*super().names(kind), *(name for of, name in self.own if of == kind)})

    def read(self, kind: str, name: str, where: str) -> dict[str, Any]:
        if (kind, name) not in self.own:
            return super().read(kind, name, where)
        validate(self.own[kind, name], kind[:-1], where)
        return self.own[kind, name]

    def backbone(self, name: str, where: str) -> BackboneSpec:
        return self.chosen


@dataclass(frozen=True)
class Dataset:
    """A dataset and the data root that it is in.

    notes: what was said about it when it was described.
    """

    spec: DatasetSpec
    root: Path
    notes: tuple[str, ...] = ()

    def registry(
        self, backbone: BackboneSpec, experiments: Mapping[str, dict[str, Any]], overrides: Mapping[str, Any]
    ) -> Registry:
        """The registries with this dataset, the backbone and the experiments."""
        own = {("datasets", self.spec.name): dict(self.spec.settings)}
        own |= {("experiments", name): content for name, content in experiments.items()}
        return WithOwn(own, backbone, overrides=overrides, where="train")


def dataset_of(
    pictures: str | Path, scratch: Path, data_root: str | Path, template: str, name: str | None = None
) -> Dataset:
    """The dataset in a folder or table of pictures, or else the one of this name in config/datasets; as for `training.train`.

    scratch: a folder for its description and for a link to the pictures.
    Warns of what `dataset new` notes, such as pictures that are left out.
    """
    path, registry = expanded(pictures), Registry()
    if path.exists():
        called = from_path(path) if name is None else name
        written, notes = write_yaml(
            path, called, template=template, folder=scratch / "datasets", tokenize=byte_pair().whole
        )
        for note in notes:
            logger.warning("dataset %r: %s", written.stem, note)
        return Dataset(DatasetSpec(written.stem, io.read_yaml(written)), scratch / "data", tuple(notes))
    if str(pictures) in registry.names("datasets"):
        return Dataset(registry.dataset(str(pictures), "train"), expanded(data_root))
    raise UserError(
        f"{pictures}: no such folder, table or dataset; expected a folder with one folder of pictures per class."
    )
