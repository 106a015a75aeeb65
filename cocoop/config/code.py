"""Looks up the class that a method's file names, without importing it: that could import torch, which planning must not do."""

import ast
import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import NamedTuple

from cocoop.errors import UserError, unknown
from cocoop.io import canonical_json, sha256_text
from cocoop.source_code import canonical

COCOOP, METHODS = "cocoop", "cocoop.methods"
INSTALLED = ("site-packages", "dist-packages")


def check_class(implementation: str, where: str) -> None:
    """Raises a UserError unless "module:Class" exists. Accepts what the source cannot show (star imports, compiled modules)."""
    module, name = implementation.split(":")
    path = Path(str(_module(module, where).origin))
    if path.suffix != ".py":
        return  # a package without __init__.py, or compiled
    tree = _parsed(path, where)
    names = set(_defined(tree))
    if name not in names and not names & {"*", "__getattr__"}:
        classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
        raise unknown("class", implementation, [f"{module}:{known}" for known in classes], where)


def digest(implementation: str, where: str) -> str:
    """Digest of the code of a method: its module, and those that this imports from `cocoop.methods`, from its own package, or (if
    it is not installed) from the same folder.

    Ignores comments, docstrings and layout. Empty for a compiled module.
    """
    found = _modules(implementation, where)
    if found is None:
        return ""
    pairs = (f"{canonical_json(name)}:{found[name].code}" for name in sorted(found))
    return sha256_text(f"{{{','.join(pairs)}}}")  # the JSON of a mapping, whose parts are cached


def imports(implementation: str, where: str) -> frozenset[str]:
    """Names of everything that these modules import, wherever in them. Empty for a compiled module."""
    found = _modules(implementation, where) or {}
    return frozenset(name for module in found.values() for name in module.imports)


class Content(NamedTuple):
    """A module: what it computes, as JSON; the names of what it imports, and those that are modules of the method."""

    code: str
    imports: tuple[str, ...]
    of_method: tuple[str, ...]


def _modules(implementation: str, where: str) -> dict[str, Content] | None:
    """The modules with a method's code by name; None if its own is compiled."""
    todo = [implementation.split(":")[0]]
    found: dict[str, Content] = {}
    while todo:
        module = todo.pop()
        if module in found:
            continue
        path = Path(str(_module(module, where).origin))
        if path.suffix != ".py":
            return None
        found[module] = _content(_parsed(path, where), module, path.name == "__init__.py")
        todo += [*found[module].of_method, *_packages(module)]
    return found


def _packages(module: str) -> Iterator[str]:
    """The packages that an own module is in, whose `__init__.py` Python runs before it."""
    names = module.split(".")[:-1]
    above = [".".join(names[: number + 1]) for number in range(len(names))]
    return (name for name in above if names[0] != COCOOP and _is_module(name))


@cache
def _content(tree: ast.Module, module: str, is_package: bool) -> Content:
    """Read once, as methods share modules."""
    names = tuple(dict.fromkeys(_imported(tree, module if is_package else module.rpartition(".")[0])))
    of_method = tuple(name for name in names if _of_method(name, module) and _is_module(name))
    return Content(canonical_json(canonical(tree)), names, of_method)


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Names of what a module of a package imports. With `from a import b`, both `a` and `a.b`, which may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            with suppress(ImportError):  # more dots than packages
                origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                yield origin
                yield from (f"{origin}.{alias.name}" for alias in node.names)


def _of_method(name: str, importer: str) -> bool:
    """Whether what a method's module imports is the method's code too, rather than a library or code that all methods share."""
    package, own = name.split(".")[0], importer.split(".")[0]
    if package == COCOOP or own == COCOOP:
        return name.startswith((f"{METHODS}.", f"{importer.rpartition('.')[0]}."))
    folder = _folder(own)
    return package == own or (folder.name not in INSTALLED and _folder(package) == folder)


def _folder(package: str) -> Path:
    """The folder in which a module or package lies that is not part of another; for one that is unknown, one that is nowhere."""
    spec = _top_level(package)
    places = list(spec.submodule_search_locations or [spec.origin or ""]) if spec else [""]
    return Path(places[0]).parent


def _is_module(name: str) -> bool:
    """Whether `name` is a module, not a class or function, and not compiled."""
    try:
        return Path(str(_module(name, "").origin)).suffix == ".py"
    except UserError:
        return False


def _module(module: str, where: str) -> ModuleSpec:
    parts = module.split(".")
    spec = _top_level(parts[0])
    if spec is None:
        raise UserError(
            f"{where}: package {parts[0]!r} not found; a method's class must be in cocoop/methods or in an installed package."
        )
    for depth, part in enumerate(parts[1:], 2):
        places = list(spec.submodule_search_locations or ())
        spec = PathFinder.find_spec(".".join(parts[:depth]), places) if places else None
        if spec is None:
            package = ".".join(parts[: depth - 1])
            known = [f"{package}.{path.stem}" for place in places for path in Path(place).glob("[!_]*.py")]
            raise unknown("module", f"{package}.{part}", known, where)
    return spec


def _top_level(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a module that runs without a spec
        return None


def _parsed(path: Path, where: str) -> ast.Module:
    try:
        return _tree(path, path.stat().st_mtime_ns)
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{where}: {path}: not valid Python ({error}).") from error


@cache
def _tree(path: Path, _: int) -> ast.Module:
    return ast.parse(path.read_bytes())


def _defined(node: ast.AST) -> Iterator[str]:
    """Names that a module defines or imports at its top level, including inside `if` and `try` blocks."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield child.name
        elif isinstance(child, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in child.names)
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id
        else:
            yield from _defined(child)
