"""Settings of a variant that differ for single datasets or numbers of shots."""

from collections.abc import Mapping
from typing import Any

from cocoop.errors import UserError

PER = ("per_dataset", "per_shots")


def with_texts(settings: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Settings in which `per_dataset` and `per_shots` have texts as keys: YAML reads `4: ...` as a number.

    place: what stands before these keys in messages.
    """
    return {**settings, **{key: _with_texts(settings[key], f"{place}{key}") for key in PER if key in settings}}


def _with_texts(table: Mapping[Any, Any], place: str) -> dict[Any, Any]:
    """Raises a UserError for both 4 and "4", because the order in which files are merged would decide which one counts."""
    found: dict[Any, Any] = {}
    for key, value in table.items():
        text = str(key) if type(key) is int else key
        if text in found:
            raise UserError(
                f"{place}: both {text} and '{text}' are there; keep one, and write it the same way in all files."
            )
        found[text] = value
    return found


def merged(key: str, content: Mapping[str, Any], own: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, dict]:
    """Settings of single datasets or shots.

    Settings that a configuration changes for all datasets and shots take precedence over the method's file, and parameters of a
    variant over those of the file for single datasets or shots.
    """
    of_file = {
        place: _without(special, {"params": own.get("params", {})}) for place, special in content.get(key, {}).items()
    }
    files = [
        {place: _without(special, over) for place, special in table.items()} for table in (of_file, own.get(key, {}))
    ]
    settings: dict[str, dict] = {}
    for table in (*files, over.get(key, {})):
        for place, special in table.items():
            before = settings.get(place, {"params": {}})
            settings[place] = before | special | {"params": before["params"] | special.get("params", {})}
    return settings


def _without(special: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of one dataset or number of shots that a configuration does not change for all of them."""
    changed = {*over.get("training", {}), *(over.keys() & {"selection"})}
    params = {name: value for name, value in special.get("params", {}).items() if name not in over.get("params", {})}
    return {name: value for name, value in special.items() if name not in changed} | {"params": params}
