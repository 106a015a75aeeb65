"""JSON-schema validation whose every failure is one line for a user."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend

from cocoop import io
from cocoop.errors import UserError, did_you_mean, listed, unknown

SCHEMAS = io.REPOSITORY / "workflow" / "schemas"
MOST_PROBLEMS = 5
OF_A_PARAMETER = (  # of a JSON schema's many keys; it would take any other without heeding it
    "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
    "pattern", "items", "minItems", "maxItems", "uniqueItems", "anyOf", "oneOf", "allOf", "not", "properties", "required",
    "additionalProperties", "title", "description", "default", "examples",
)  # fmt: skip
MISSING = " is missing"
OVERLAY = " (Name a complete file before one that only changes some keys: --configfile config/config.yaml mine.yaml.)"


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    """JSON Schema's `$` is the end of the text; Python's also lies before a last line feed."""
    strict = f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern
    if isinstance(value, str) and not re.search(strict, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


# JSON Schema takes 2.0 as an integer, but it neither counts nor indexes.
_TYPES = Draft202012Validator.TYPE_CHECKER.redefine(
    "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
)
_Validator = extend(Draft202012Validator, validators={"pattern": _pattern}, type_checker=_TYPES)


def validate(content: Mapping[str, Any], schema: str | Mapping[str, Any], where: str) -> None:
    """Checks content against workflow/schemas/{schema}.schema.yaml; all problems in one UserError.

    where: the file the content came from.
    """
    checker = _Validator(_schema(schema) if isinstance(schema, str) else schema)
    problems = [line for error in checker.iter_errors(content) for line in _lines(error)] + _not_finite(content)
    if problems:
        text = "; ".join(problems[:MOST_PROBLEMS])
        hint = OVERLAY if schema == "config" and MISSING in text else ""
        raise UserError(f"{where}: {text}{'' if text.endswith('?') else '.'}{_more(len(problems))}{hint}")


def check_schema(schema: Mapping[str, Any], where: str, known: Iterable[str] = ()) -> None:
    """Checks that a mapping which a file brings along is a JSON schema of parameters.

    known: keys of a parameter beside those of JSON schemas.
    """
    heeded = [*OF_A_PARAMETER, *known]
    for name, inner in schema.get("properties", {}).items():
        for key in inner:
            if key not in heeded:
                raise unknown("key of a JSON schema", key, heeded, f"{where}: {name}")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(map(str, list(error.absolute_path)[1:])) or "top level"
        raise UserError(
            f"{where}: {place}: {_shown(error.instance)} is no part of a JSON schema; see config/README.md."
        ) from error


def definition(schema: str, name: str) -> Mapping[str, Any]:
    """One of the named parts ($defs) of a schema."""
    return _schema(schema)["$defs"][name]


def of_key(schema: str, key: str) -> Mapping[str, Any]:
    """What a schema says of one of its keys."""
    return _schema(schema)["properties"][key]


@cache
def _schema(name: str) -> dict[str, Any]:
    return io.read_yaml(SCHEMAS / f"{name}.schema.yaml")


def _not_finite(content: Any, place: tuple[str, ...] = ()) -> list[str]:
    """NaN and infinity pass every limit of a schema, as no comparison with NaN holds."""
    if isinstance(content, float) and not math.isfinite(content):
        return [f"{'.'.join(place)}: {content} is no finite number"]
    items = content.items() if isinstance(content, Mapping) else enumerate(content) if isinstance(content, list) else ()
    return [line for key, value in items for line in _not_finite(value, (*place, str(key)))]


def _more(count: int) -> str:
    return f" (+{count - MOST_PROBLEMS} more problems)" if count > MOST_PROBLEMS else ""


def _lines(error: ValidationError) -> list[str]:
    place = ".".join(map(str, error.absolute_path)) or "top level"
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = list(error.schema.get("properties", {}))
        strange = [key for key in error.instance if key not in known]
        return [
            f"{place}: unknown key {key!r}; known: {listed(known, 40)}.{did_you_mean(key, known)}".rstrip(".")
            for key in strange
        ]
    if error.validator == "required":
        key = error.message.removesuffix(" is a required property")  # one error for each missing key
        return [f"{place}: key {key}{MISSING}"]
    if error.validator == "enum":
        choices = list(map(str, error.validator_value))
        return [
            f"{place}: {error.instance!r} is not one of {listed(choices, 40)}.{did_you_mean(error.instance, choices)}".rstrip(
                "."
            )
        ]
    if error.validator == "type":
        return [f"{place}: {_shown(error.instance)} is no {_or(error.validator_value)}{_number_hint(error.instance)}"]
    if error.validator in ("anyOf", "oneOf") and "description" in error.schema:
        return [f"{place}: {_shown(error.instance)} does not fit: {error.schema['description']}"]
    if error.validator == "pattern" and "description" in error.schema:
        return [f"{place}: {_shown(error.instance)} does not fit: {error.schema['description'].rstrip('.')}"]
    return [f"{place}: {error.message[:200]}"]


def _or(types: str | list[str]) -> str:
    return types if isinstance(types, str) else " or ".join(types)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _number_hint(value: object) -> str:
    """YAML 1.1 reads 2e-3 as text: only 2.0e-3 and 0.002 are numbers."""
    try:
        number = float(value) if isinstance(value, str) else None
    except ValueError:
        number = None
    if number is None or not isinstance(value, str):
        return ""
    return f" (YAML reads {value} as text; write {int(value) if value.strip('+-').isdecimal() else number!r})"
