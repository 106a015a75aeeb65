"""The registries: folders of YAML files with one backbone, dataset, method or experiment per file."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cocoop import io, places
from cocoop.config import weights
from cocoop.config.based_on import BASED_ON, LABEL, TEMPERATURE, TRAINED_AS, changes_of, with_new
from cocoop.config.code import check_class
from cocoop.config.code import digest as code_digest
from cocoop.config.draw import shots_of
from cocoop.config.openclip import check_names
from cocoop.config.prompts import DEFAULT, PromptsFrom
from cocoop.config.special import merged
from cocoop.config.specs import BackboneSpec, DatasetSpec, TrainingSpec, VariantSpec
from cocoop.config.validation import check_schema, definition, validate
from cocoop.errors import UserError, listed, unknown

PROMPTS_FROM = "prompts_from"
ONE_WORD_EACH = "one_word_each"  # key of a parameter's schema: names the parameter that holds its number of words
IMAGE_LAYER = "image_layer_from"
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
    def variants(self) -> dict[str, VariantSpec]:
        """All variants of all method files, with the configuration's overrides applied."""
        found: dict[str, VariantSpec] = {}
        for method in self.names("methods"):
            path = self.path("methods", method)
            content = self.read("methods", method, str(path))
            check_schema(params_schema(content), f"{path}: params", (ONE_WORD_EACH,))
            if content.get(IMAGE_LAYER) not in (None, *content["params"]):
                raise unknown("parameter", content[IMAGE_LAYER], content["params"], f"{path}: {IMAGE_LAYER}")
            check_class(content["class"], f"{path}: class")
            code = code_digest(content["class"], f"{path}: class")
            content = with_new(content, self.overrides, f"{self.where}: variants")
            for name in content["variants"]:
                if name in found:
                    raise UserError(
                        f"{path}: variant {name!r} is also defined in methods/{found[name].method}.yaml; rename one."
                    )
                found[name] = _variant(f"{path}: variants.{name}", method, code, content, name, {})
                if over := changes_of(self.overrides, name):
                    place = f"{self.where}: variants.{name}"
                    self._check_datasets(over.get("per_dataset", {}), f"{place}.per_dataset")
                    found[name] = _variant(place, method, code, content, name, over)
                    self._check_datasets({*found[name].prompts_from} - {DEFAULT}, f"{place}.{PROMPTS_FROM}")
        for name, over in self.overrides.items():
            if name not in found:
                raise unknown("variant", over.get(BASED_ON, name), found, f"{self.where}: variants")
        return found

    def _check_datasets(self, names: Iterable[str], where: str) -> None:
        known = self.names("datasets")
        for name in names:
            if name not in known:
                raise unknown("dataset", name, known, where)


def params_schema(content: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of a method's parameters, from its file."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": content["params"],
        "required": list(content["params"]),
    }


def check_params(params: Mapping[str, Any], content: Mapping[str, Any], where: str) -> None:
    """Checks a variant's parameters against the schema in its method's file."""
    validate(params, params_schema(content), where)
    for name, schema in content["params"].items():
        if isinstance(schema, Mapping) and ONE_WORD_EACH in schema:
            _check_words(name, schema[ONE_WORD_EACH], params, where)


def _check_words(name: str, counted: object, params: Mapping[str, Any], where: str) -> None:
    if counted not in list(params):
        raise unknown("parameter", counted, params, f"{where}: {name}.{ONE_WORD_EACH}")
    if not isinstance(params[name], str):
        return
    words = len(params[name].replace("_", " ").split(" "))  # a prompt reads underscores as spaces
    if words != params[counted]:
        raise UserError(
            f"{where}: {name}: {params[name]!r} has {words} words, but {counted} is {params[counted]!r};"
            " write one word for each, or null."
        )


def _variant(
    place: str, method: str, code: str, content: Mapping[str, Any], name: str, over: Mapping[str, Any]
) -> VariantSpec:
    """place: where the variant's settings come from, for messages; code: digest of the method's code."""
    own = content["variants"][name]
    params = {**content.get("defaults", {}), **own.get("params", {}), **over.get("params", {})}
    check_params(params, content, f"{place}.params")
    changes = {**content.get("training", {}), **own.get("training", {}), **over.get("training", {})}
    if content["learns"] != "by_gradient" and changes:
        raise UserError(
            f"{place}.training: only methods with learns: by_gradient have training settings, but {method} has"
            f" learns: {content['learns']}; remove the key."
        )
    validate(changes, definition("method", "training"), f"{place}.training")
    for per in (over.get("per_dataset", {}), over.get("per_shots", {})):
        validate(per, definition("method", "per"), place)
    validate(over, {"properties": {PROMPTS_FROM: definition("method", PROMPTS_FROM)}}, place)
    prompts = over.get(PROMPTS_FROM, own.get(PROMPTS_FROM, content.get(PROMPTS_FROM, {})))
    if prompts and PROMPTS_FROM not in content:
        raise UserError(f"{place}.{PROMPTS_FROM}: {method} uses no hand-crafted prompts; remove the key.")
    if content["learns"] == "by_itself" and content.get("inputs") == "images":
        raise UserError(f"{place}: inputs: images requires learns: by_gradient or nothing, not by_itself.")
    missing = sorted(part.name for part in fields(TrainingSpec) if part.default is MISSING and part.name not in changes)
    if content["learns"] == "by_gradient" and missing:
        raise UserError(f"{place}: training lacks {', '.join(missing)}.")
    selection = over.get("selection", own.get("selection", content.get("selection", "none")))
    check_selection(selection, content, place)
    per_dataset, per_shots = (merged(key, content, own, over) for key in ("per_dataset", "per_shots"))
    for key, table in (("per_dataset", per_dataset), ("per_shots", per_shots)):
        for of, special in table.items():
            _check_special(special, params, content, f"{place}.{key}.{of}")
    return VariantSpec(
        name=name,
        label=over.get(LABEL, own[LABEL]),
        method=method,
        implementation=content["class"],
        version=content["version"],
        code=code,
        learns=content["learns"],
        inputs=content.get("inputs", "features"),
        needs=tuple(sorted(content.get("needs", ()))),
        prompts_from=_prompts(prompts) if prompts else {},
        stacked=content.get("stacked", True),
        plain_views=content.get("views") == "plain",
        class_bound=_class_bound(content.get("class_bound", False), params, place),
        params=params,
        training=TrainingSpec(**changes) if changes else None,
        selection=selection,
        per_dataset=per_dataset,
        per_shots={shots_of(shots): special for shots, special in per_shots.items()},
        temperature=over.get(TEMPERATURE, own.get(TEMPERATURE, content.get(TEMPERATURE, "none"))),
        trained_as=own.get(TRAINED_AS, name),
    )


def _prompts(chosen: Mapping[str, Any] | list[str] | str) -> dict[str, PromptsFrom]:
    """`prompts_from` of a file as in `VariantSpec`."""
    by_dataset = chosen if isinstance(chosen, Mapping) else {DEFAULT: chosen}
    return {name: one if isinstance(one, str) else tuple(one) for name, one in by_dataset.items()}


def _class_bound(value: bool | str, params: Mapping[str, Any], place: str) -> bool:
    """value: `class_bound` in a method's file: true, false, or the name of the parameter that decides."""
    if isinstance(value, bool):
        return value
    if value not in params:
        raise unknown("parameter", value, params, f"{place}: class_bound")
    return bool(params[value])


def _check_special(
    special: Mapping[str, Any], params: Mapping[str, Any], content: Mapping[str, Any], place: str
) -> None:
    """Checks the settings of one dataset or number of shots."""
    check_params({**params, **special["params"]}, content, f"{place}.params")
    if "selection" in special:
        check_selection(special["selection"], content, place)
    if content["learns"] != "by_gradient" and (of_training := sorted(special.keys() - {"params", "selection"})):
        raise UserError(
            f"{place}: {', '.join(of_training)}: only methods with learns: by_gradient have training settings."
        )


def check_selection(selection: str, content: Mapping[str, Any], place: str) -> None:
    """Checks that the method's class supports a way to choose hyper-parameters."""
    if selection == "hold_one_out" and content.get("inputs") == "images":
        raise UserError(f"{place}.selection: hold_one_out requires inputs: features, not images.")
    supported = content.get("selections", ["none"])
    if selection not in supported:
        raise UserError(
            f"{place}.selection: {selection!r} is not one of {listed(supported)}, which are the `selections` of this method."
        )
