"""Digests of source code that ignore comments, docstrings and layout."""

import ast
import hashlib
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cocoop.errors import UserError
from cocoop.io import canonical_json, sha256_text, write_text

KEPT = Path(".snakemake", "code")
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


def digest(paths: Iterable[Path], root: Path) -> str:
    """sha256 of source files and their paths relative to `root`.

    Parsing takes longer than a small stage computes, so Snakemake's folder, where there is one, keeps the digest by the bytes of
    the files.
    """
    contents = {str(path.relative_to(root)): path.read_bytes() for path in paths}
    kept = KEPT / hashlib.sha256(repr((Path(__file__).read_bytes(), sorted(contents.items()))).encode()).hexdigest()
    with suppress(OSError, UnicodeError):
        if re.fullmatch("[0-9a-f]{64}", found := kept.read_text()):
            return found
    found = sha256_text(canonical_json({name: canonical(ast.parse(content)) for name, content in contents.items()}))
    if KEPT.parent.is_dir():
        with suppress(OSError, UserError):  # a full or read-only disk
            write_text(kept, found)
    return found
