"""Methods, found by the import string in their YAML file (config/methods)."""

import inspect
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from cocoop.errors import UserError
from cocoop.run import Run

if TYPE_CHECKING:
    from cocoop.backbone.model import Backbone
    from cocoop.methods.base import Method
    from cocoop.text.text_encoder import TextEncoder


def build(
    run: Run,
    text: "TextEncoder",
    template: str,
    classnames: Sequence[str],
    backbone: "Backbone | None" = None,
) -> "Method":
    """The method a run names, for its seeds.

    classnames: those trained on; only class-specific contexts depend on them. backbone: for a method that takes images.
    """
    implementation = find(run.implementation, run.method)
    accepts = inspect.signature(implementation).parameters
    if run.inputs != implementation.inputs:
        raise UserError(
            f"config/methods/{run.method}.yaml: {implementation.__name__} takes {implementation.inputs}; "
            f"write `inputs: {implementation.inputs}` instead of {run.inputs!r}."
        )
    offered = {"classnames": classnames, "backbone": backbone}
    extra = {name: value for name, value in offered.items() if name in accepts}
    given = set(run.params)
    needed = {name for name, one in accepts.items() if one.kind is one.KEYWORD_ONLY and one.default is one.empty}
    for verb, names in (("takes no", given - set(accepts)), ("needs", needed - given - set(extra))):
        if names:
            raise UserError(
                f"config/methods/{run.method}.yaml: {implementation.__name__} {verb} {', '.join(sorted(names))}."
            )
    return implementation(text, run.seeds, template, **run.params, **extra)


def find(implementation: str, method: str) -> type["Method"]:
    """The class behind "module:Class"; a UserError if there is none."""
    module, name = implementation.split(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"config/methods/{method}.yaml: class {implementation!r} cannot be imported ({error})."
        ) from error
