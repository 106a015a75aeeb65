"""Methods, found by the import string in their YAML file (config/methods)."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from cocoop.errors import UserError

if TYPE_CHECKING:
    from cocoop.methods.base import Method, Task


class Described(Protocol):
    """What describes a method: a `Run`, for example."""

    @property
    def implementation(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def needs(self) -> tuple[str, ...]: ...


def build(run: Described, task: "Task") -> "Method":
    """Builds the method of a run for the task's seeds.

    Raises a UserError for parameters that its class does not accept, and for tensors without a dimension for the seeds.
    """
    implementation, where = find(run.implementation, run.method), f"config/methods/{run.method}.yaml"
    accepts, given = options_of(implementation), set(run.params)
    needed = {name for name, one in accepts.items() if one.default is one.empty}
    for verb, names in (("takes no", given - set(accepts)), ("needs", needed - given)):
        if names:
            raise UserError(f"{where}: {implementation.__name__} {verb} {', '.join(sorted(names))}.")
    if "template" in run.needs and not task.template:
        raise UserError(f"{where}: {implementation.__name__} needs a template, but the run has none.")
    method = implementation(task, **run.params)
    method.saved()
    return method


def options_of(implementation: type) -> dict[str, inspect.Parameter]:
    """The keyword arguments of a class, including those of its parents if it passes **options on."""
    found: dict[str, inspect.Parameter] = {}
    for cls in implementation.__mro__:
        if "__init__" in vars(cls):
            own = inspect.signature(vars(cls)["__init__"]).parameters
            found = {name: one for name, one in own.items() if one.kind is one.KEYWORD_ONLY} | found
            if not any(one.kind is one.VAR_KEYWORD for one in own.values()):
                break
    return found


def find(implementation: str, method: str) -> type["Method"]:
    """Imports the class "module:Class". Raises a UserError if that fails."""
    module, name = implementation.split(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"config/methods/{method}.yaml: class {implementation!r} cannot be imported ({error})."
        ) from error
