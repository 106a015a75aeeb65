"""New variants that a configuration adds with `based_on`: an existing variant with other settings."""

from collections.abc import Mapping
from typing import Any

from cocoop.config.merging import merged
from cocoop.errors import UserError

BASED_ON, TRAINED_AS = "based_on", "trained_as"
LABEL, TEMPERATURE = "label", "temperature"
Overrides = Mapping[str, Mapping[str, Any]]


def with_new(content: Mapping[str, Any], overrides: Overrides, where: str) -> dict[str, Any]:
    """A method's file with an entry for each new variant that is based on one of its own.

    A new variant that only adds a temperature shares the training of the one it is based on. Raises a UserError that starts
    with `where` for a new variant with the name of an existing one.
    """
    there = content["variants"]
    added = {}
    for name, over in overrides.items():
        base = over.get(BASED_ON)
        if base is not None and name in there:
            raise UserError(
                f"{where}.{name}.{BASED_ON}: variant {name!r} exists already; give the new one another name."
            )
        if base in there:
            same = not over.keys() - {BASED_ON, LABEL, TEMPERATURE}
            label = f"{there[base][LABEL]} " + (
                "+ temperature" if same and over.get(TEMPERATURE) == "val" else f"({name})"
            )
            added[name] = {**there[base], LABEL: label, TRAINED_AS: base if same else name}
    return {**content, "variants": {**there, **added}}


def changes_of(overrides: Overrides, name: str) -> dict[str, Any]:
    """What a configuration changes of a variant, and of the one that it is based on; empty for nothing."""
    own = overrides.get(name, {})
    below = {key: value for key, value in overrides.get(own.get(BASED_ON, ""), {}).items() if key != LABEL}
    return merged(below, {key: value for key, value in own.items() if key != BASED_ON})
