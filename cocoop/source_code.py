"""Digests of source code that ignore comments, docstrings and layout."""

import ast
from collections.abc import Mapping

from cocoop.io import canonical_json, sha256_text

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def canonical(node: object) -> object:
    """A syntax tree as JSON values without empty fields and docstrings, so that all Python versions give the same values."""
    if isinstance(node, list):
        return [canonical(item) for item in node]
    if not isinstance(node, ast.AST):
        return node if isinstance(node, str | int | float | bool | None) else repr(node)
    fields = {}
    for name in node._fields:
        value = getattr(node, name, None)
        if value is not None and value != []:
            documented = (
                name == "body" and isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None
            )
            fields[name] = canonical(value[1:] if documented else value)
    return [type(node).__name__, fields]


def digest(contents: Mapping[str, bytes]) -> str:
    """sha256 of source files by their names."""
    return sha256_text(canonical_json({name: canonical(ast.parse(content)) for name, content in contents.items()}))
