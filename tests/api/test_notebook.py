"""The notebook of the documentation runs from top to bottom, offline, and is stored without outputs."""

import ast

import nbformat

from cocoop.io import REPOSITORY

NOTEBOOK = REPOSITORY / "docs/python.ipynb"


def shown(value: object) -> str:
    """What a notebook shows for the last line of a cell."""
    return value._repr_html_() if hasattr(value, "_repr_html_") else repr(value)


def run(source: str, names: dict) -> str:
    """Runs a cell like a kernel does."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    return shown(eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)) if last else ""


def test_notebook_runs_offline_and_ends_with_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COCOOP_OFFLINE", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    names: dict = {}
    outputs = [run(cell.source, names) for cell in notebook.cells if cell.cell_type == "code"]
    assert outputs[0].startswith("<Prompt coop on digits (seed 1, 5 classes), backbone tiny")
    assert names["found"].labels.count("digit seven") >= 1
    assert "<table" in outputs[2] and outputs[-1] in ("True", "np.True_")


def test_notebook_is_stored_without_outputs():
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert cells and all(not cell.outputs and cell.execution_count is None for cell in cells)
