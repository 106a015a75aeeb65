"""Settings of a variant that differ for single datasets or numbers of shots."""

from collections.abc import Mapping
from typing import Any


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
