"""JSON Schema validation that reports each problem to the user in one line."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend

from cocoop import io, places
from cocoop.errors import UserError, cut, did_you_mean, listed, unknown

SCHEMAS = places.SHIPPED / "workflow" / "schemas"
MOST_PROBLEMS = 5
KEYWORDS = (  # supported in a parameter's schema; jsonschema would silently ignore a misspelled one
    "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
    "pattern", "items", "minItems", "maxItems", "uniqueItems", "anyOf", "oneOf", "allOf", "not", "properties", "required",
    "additionalProperties", "title", "description", "default", "examples",
)  # fmt: skip
MISSING = " is missing"
TYPES = {
    "array": "a list",
    "object": "a mapping",
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    """In JSON Schema, `$` matches only at the end of the text; in Python, it also matches before a final line feed."""
    strict = f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern
    if isinstance(value, str) and not re.search(strict, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


# JSON Schema accepts 2.0 as an integer, but Python cannot count or index with it.
_TYPES = Draft202012Validator.TYPE_CHECKER.redefine(
    "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
)
_Validator = extend(Draft202012Validator, validators={"pattern": _pattern}, type_checker=_TYPES)


def validate(content: Mapping[str, Any], schema: str | Mapping[str, Any], where: str) -> None:
    """Checks content against workflow/schemas/{schema}.schema.yaml and reports all problems in one UserError.

    where: the file the content came from.
    """
    checker = _Validator(_schema(schema) if isinstance(schema, str) else schema)
    problems = [line for error in checker.iter_errors(content) for line in _lines(error)] + _not_finite(content)
    if problems:
        text = "; ".join(problems[:MOST_PROBLEMS])
        raise UserError(f"{where}: {text}{'' if text.endswith('?') else '.'}{_more(len(problems))}")


def check_schema(schema: Mapping[str, Any], where: str, known: Iterable[str] = ()) -> None:
    """Checks that a mapping from a file is a JSON schema of parameters.

    known: further keywords that a parameter may have.
    """
    allowed = [*KEYWORDS, *known]
    for name, inner in schema.get("properties", {}).items():
        while isinstance(inner, Mapping):
            for key in inner:
                if key not in allowed:
                    raise unknown("JSON Schema keyword", key, allowed, f"{where}: {name}")
            inner = inner.get("items")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(map(str, list(error.absolute_path)[1:])) or "top level"
        raise UserError(
            f"{where}: {place}: {_shown(error.instance)} is not valid in a JSON schema.{did_you_mean(error.instance, TYPES)}"
        ) from error


def definition(schema: str, name: str) -> Mapping[str, Any]:
    """A named part ($defs) of a schema."""
    return _schema(schema)["$defs"][name]


def keys_of(schema: str) -> list[str]:
    """The keys that a schema allows at the top level."""
    return list(_schema(schema)["properties"])


def of_key(schema: str, key: str) -> Mapping[str, Any]:
    """A schema's rule for one of its keys."""
    return _schema(schema)["properties"][key]


@cache
def _schema(name: str) -> dict[str, Any]:
    return io.read_yaml(SCHEMAS / f"{name}.schema.yaml")


def _not_finite(content: Any, place: tuple[str, ...] = ()) -> list[str]:
    """Problems with NaN and infinity, which a schema's limits do not catch because comparisons with NaN are false."""
    if isinstance(content, float) and not math.isfinite(content):
        return [f"{'.'.join(place)}: expected a finite number, got {content}"]
    items = content.items() if isinstance(content, Mapping) else enumerate(content) if isinstance(content, list) else ()
    return [line for key, value in items for line in _not_finite(value, (*place, str(key)))]


def _more(count: int) -> str:
    return f" (+{count - MOST_PROBLEMS} more problems)" if count > MOST_PROBLEMS else ""


def _lines(error: ValidationError) -> list[str]:
    place = ".".join(map(str, error.absolute_path)) or "top level"
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = list(error.schema.get("properties", {}))
        extra = [key for key in error.instance if key not in known]
        return [
            f"{place}: unknown key {key!r}; known: {listed(known, 40)}.{did_you_mean(key, known)}".rstrip(".")
            for key in extra
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
        types = [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
        expected = " or ".join(TYPES[name] for name in types)
        return [f"{place}: expected {expected}, got {_shown(error.instance)}{_fix(error.instance, types)}"]
    if error.validator in ("anyOf", "oneOf", "pattern") and "description" in error.schema:
        return [f"{place}: {not_valid(error.instance, error.schema)}"]
    return [f"{place}: {error.message[:200]}"]


def not_valid(value: object, rule: Mapping[str, Any]) -> str:
    """The problem with a value that breaks a rule with a description, as in "'a photo.' is not valid; expected ..."."""
    description = rule["description"].rstrip(".")
    first = description[0].lower() if description[1:2].islower() else description[0]
    return f"{_shown(value)} is not valid; expected {first}{description[1:]}"


def _shown(value: object) -> str:
    return cut(repr(value), 80)


def _fix(value: object, types: Sequence[str]) -> str:
    """What to write instead of a value of the wrong type, if the value shows what was meant."""
    if "array" in types and isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
        return f"; write [{', '.join(part.strip() for part in str(value).strip('[]').split(','))}]"
    if "boolean" in types and str(value).lower() in ("true", "false"):
        return f"; write {str(value).lower()}"
    if "string" in types and isinstance(value, int | float) and not isinstance(value, bool):
        return f"; write '{value}'"
    number = _number(value)
    if number is None or not {"integer", "number"} & set(types) or ("number" not in types and number != int(number)):
        return ""
    reason = f"YAML reads {value} as text, " if isinstance(value, str) and "e" in value.lower() else ""
    written = repr(int(number) if "number" not in types or str(value).isdecimal() else number)
    if "e" in written and "." not in written:  # 1e-05, which YAML reads as text again
        written = written.replace("e", ".0e")
    return f"; {reason}write {written}"


def _number(value: object) -> float | None:
    """The finite number that a float or a text holds. YAML 1.1 reads 2e-3 as text: only 2.0e-3 and 0.002 are numbers."""
    try:
        number = float(value) if isinstance(value, str | float) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None
