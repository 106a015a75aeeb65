"""Digests of source code that ignore comments, docstrings and layout."""

import ast
from collections.abc import Iterable
from pathlib import Path

from cocoop.io import canonical_json, sha256_text


def canonical(node: object) -> object:
    """A syntax tree as JSON values without empty fields and docstrings, so that all Python versions give the same values."""
    if isinstance(node, list):
        return [canonical(item) for item in node]
    if not isinstance(node, ast.AST):
        return node if isinstance(node, str | int | float | bool | None) else repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if isinstance(node, documented) and node.body and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    return [type(node).__name__, {name: canonical(value) for name, value in fields.items()}]


def digest(paths: Iterable[Path], root: Path) -> str:
    """sha256 of source files and their paths relative to `root`."""
    found = {str(path.relative_to(root)): canonical(ast.parse(path.read_bytes())) for path in paths}
    return sha256_text(canonical_json(found))
