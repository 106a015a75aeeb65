"""The variants of methods: their settings in the methods' files, with what a configuration changes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from cocoop.config.based_on import BASED_ON, LABEL, TEMPERATURE, TRAINED_AS, Overrides, changes_of
from cocoop.config.code import check_class
from cocoop.config.code import digest as code_digest
from cocoop.config.draw import shots_of
from cocoop.config.prompts import DEFAULT, PromptsFrom
from cocoop.config.special import PER, merged, with_texts
from cocoop.config.specs import TrainingSpec, VariantSpec
from cocoop.config.validation import check_schema, definition, validate
from cocoop.errors import UserError, listed, unknown

PROMPTS_FROM = "prompts_from"
ONE_WORD_EACH = "one_word_each"  # key of a parameter's schema: names the parameter that holds its number of words
IMAGE_LAYER = "image_layer_from"


class Variants(Mapping[str, VariantSpec]):
    """Variants by name. A method's file, which fits its schema, is checked further when one of its variants is asked for,
    or at once if the configuration changes one.

    methods: the content of the methods' files by path, with the variants that the configuration adds.
    overrides: what a configuration changes, by variant; where: its name in messages.
    check_datasets: called with names of datasets and their place, raises a UserError for an unknown one.
    """

    def __init__(
        self,
        methods: Mapping[Path, Mapping[str, Any]],
        overrides: Overrides,
        where: str,
        check_datasets: Callable[[Iterable[str], str], None],
    ) -> None:
        self._methods, self._where, self._check_datasets = methods, where, check_datasets
        self._overrides = {name: with_texts(over, f"{where}: variants.{name}.") for name, over in overrides.items()}
        self._files: dict[str, Path] = {}
        for path, content in methods.items():
            for name in content["variants"]:
                if name in self._files:
                    raise UserError(
                        f"{path}: variant {name!r} is also defined in methods/{self._files[name].name}; rename one."
                    )
                self._files[name] = path
        for name, over in overrides.items():
            if name not in self._files:
                raise self._not_there(over.get(BASED_ON, name), name)
        self._found: dict[str, VariantSpec] = {}
        for path in dict.fromkeys(self._files[name] for name in overrides):
            self._found |= self._read(path)

    def __getitem__(self, name: str) -> VariantSpec:
        if name not in self._found:
            self._found |= self._read(self._files[name])
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def _not_there(self, wanted: str, name: str) -> UserError:
        """The error for an entry `name` of a configuration that changes, or is based on, a variant of no file."""
        place = f"{self._where}: variants"
        if wanted == name or BASED_ON not in self._overrides.get(wanted, {}):
            return unknown("variant", wanted, self._files, place)
        return UserError(
            f"{place}.{name}.{BASED_ON}: {wanted!r} is new itself; name one of a file in config/methods, and write down the "
            f"settings of {wanted!r} again."
        )

    def _read(self, path: Path) -> dict[str, VariantSpec]:
        """The variants of a method's file."""
        content, method, found = with_texts(self._methods[path], f"{path}: "), path.stem, {}
        check_schema(params_schema(content), f"{path}: params", (ONE_WORD_EACH,))
        if content.get(IMAGE_LAYER) not in (None, *content["params"]):
            raise unknown("parameter", content[IMAGE_LAYER], content["params"], f"{path}: {IMAGE_LAYER}")
        check_class(content["class"], f"{path}: class")
        code = code_digest(content["class"], f"{path}: class")
        for name in content["variants"]:
            found[name] = _variant(f"{path}: variants.{name}", method, code, content, name, {})
            if over := changes_of(self._overrides, name):
                place = f"{self._where}: variants.{name}"
                self._check_datasets(over.get("per_dataset", {}), f"{place}.per_dataset")
                found[name] = _variant(place, method, code, content, name, over)
                self._check_datasets({*found[name].prompts_from} - {DEFAULT}, f"{place}.{PROMPTS_FROM}")
        return found


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
    own = with_texts(content["variants"][name], f"{place}.")
    params = {**content.get("defaults", {}), **own.get("params", {}), **over.get("params", {})}
    check_params(params, content, f"{place}.params")
    changes = {**content.get("training", {}), **own.get("training", {}), **over.get("training", {})}
    if content["learns"] != "by_gradient" and changes:
        raise UserError(
            f"{place}.training: only methods with learns: by_gradient have training settings, but {method} has"
            f" learns: {content['learns']}; remove the key."
        )
    validate(changes, definition("method", "training"), f"{place}.training")
    validate(over, {"properties": {key: definition("method", key) for key in (*PER, PROMPTS_FROM)}}, place)
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
    per_dataset, per_shots = (merged(key, content, own, over) for key in PER)
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
    odd = content.get("inputs") == "images" or "local_features" in content.get("needs", ())
    if selection == "hold_one_out" and odd:
        raise UserError(
            f"{place}.selection: hold_one_out requires inputs: features, not images, and no local_features."
        )
    supported = content.get("selections", ["none"])
    if selection not in supported:
        raise UserError(
            f"{place}.selection: {selection!r} is not one of {listed(supported)}, which are the `selections` of this method."
        )
