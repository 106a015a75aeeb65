"""The registries: folders of YAML files with one backbone, dataset, method or experiment per file."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cocoop import io, places
from cocoop.config import weights
from cocoop.config.based_on import with_new
from cocoop.config.openclip import check_names
from cocoop.config.specs import BackboneSpec, DatasetSpec, VariantSpec
from cocoop.config.validation import validate
from cocoop.config.variants import Variants
from cocoop.errors import UserError, unknown

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class Registry:
    """Everything a configuration can name. Reads files on first use.

    folder: the folder with the registries. By default `config` in the working folder and the shipped one; of two files with the
    same name, the working folder's counts.
    overrides: settings that a configuration changes, by variant (`variants:` in config.yaml).
    where: the configuration's name in messages.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        where: str = "configuration",
    ) -> None:
        self.folders = [Path(folder)] if folder else places.layers("config")
        self.overrides, self.where = overrides or {}, where

    def names(self, kind: str) -> list[str]:
        """Names of all files of one kind: backbones, datasets, methods or experiments."""
        return sorted({path.stem for folder in self.folders for path in (folder / kind).glob("*.yaml")})

    def path(self, kind: str, name: str) -> Path:
        """The file of a name; where it would be in the working folder if there is none."""
        paths = [folder / kind / f"{name}.yaml" for folder in self.folders]
        return next(filter(Path.is_file, paths), paths[0])

    def read(self, kind: str, name: str, where: str) -> dict[str, Any]:
        """Reads and validates one file; an unknown name raises a UserError that lists the choices."""
        if name not in self.names(kind):
            raise unknown(kind[:-1], name, self.names(kind), where)
        path = self.path(kind, name)
        if not NAME.fullmatch(name):
            raise UserError(
                f"{path}: {name!r} is not a valid {kind[:-1]} name; use lower-case letters, digits, - and _: rename the file."
            )
        content = io.read_yaml(path)
        validate(content, kind[:-1], str(path))
        return content

    def backbone(self, name: str, where: str) -> BackboneSpec:
        content = self.read("backbones", name, where)
        check_names(content, str(self.path("backbones", name)))
        published = content.pop("imagenet_zero_shot", None)
        spec = BackboneSpec(name=name, files=weights.digest(content), **content)
        return replace(spec, imagenet_zero_shot=(published["accuracy"], published["source"])) if published else spec

    def dataset(self, name: str, where: str) -> DatasetSpec:
        return DatasetSpec(name, self.read("datasets", name, where))

    def datasets(self, names: Iterable[str], where: str) -> dict[str, DatasetSpec]:
        return {name: self.dataset(name, where) for name in names}

    def variant(self, name: str, where: str) -> VariantSpec:
        if name not in self.variants:
            raise unknown("variant", name, self.variants, where)
        return self.variants[name]

    @cached_property
    def variants(self) -> Mapping[str, VariantSpec]:
        """The variants of all method files by name, with the configuration's changes.

        What a schema cannot check of a method's file is checked when one of its variants is first asked for, so that no start
        of Snakemake does so for methods that nobody uses; those that the configuration changes are checked at once.
        """
        return Variants(self.methods, self.overrides, self.where, self.check_datasets)

    @cached_property
    def methods(self) -> dict[Path, dict[str, Any]]:
        """All method files, by path, with the variants that the configuration adds."""
        paths = {self.path("methods", name): name for name in self.names("methods")}
        where = f"{self.where}: variants"
        return {
            path: with_new(self.read("methods", name, str(path)), self.overrides, where) for path, name in paths.items()
        }

    def check_datasets(self, names: Iterable[str], where: str) -> None:
        """Raises a UserError for a name that is not that of a dataset."""
        known = self.names("datasets")
        for name in names:
            if name not in known:
                raise unknown("dataset", name, known, where)
