"""The rules of the house: layers, no cycles, small files, torch only where it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from cocoop.io import REPOSITORY

PACKAGE = REPOSITORY / "cocoop"
ROWS = [
    {"errors", "io", "metrics", "progress"},
    {"config", "manifest", "provenance"},
    {"splits", "data", "drawing"},
    {"clip"},
    {"methods"},
    {"training", "evaluation", "pretraining"},
    {"bench", "costing", "monitor", "results", "tables", "figures", "report"},
    {"cli"},
]
ROW = {name: row for row, names in enumerate(ROWS) for name in names}
WITHIN_ROW = {  # the only edges inside a row, all downwards: (importer, imported)
    ("manifest", "io"), ("config", "manifest"), ("data", "splits"), ("data", "drawing"), ("evaluation", "training"),
    ("io", "errors"), ("tables", "results"), ("figures", "results"), ("figures", "tables"), ("report", "results"),
    ("report", "tables"), ("report", "figures"), ("costing", "bench"), ("monitor", "costing"), ("bench", "costing"),
}  # fmt: skip
TORCH_FREE = [
    "cocoop", "cocoop.config", "cocoop.splits", "cocoop.manifest", "cocoop.provenance", "cocoop.data.prepare",
    "cocoop.data.listing", "cocoop.results", "cocoop.tables", "cocoop.figures", "cocoop.report", "cocoop.cli",
]  # fmt: skip
MOST_LINES = 250


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def imports(path: Path) -> set[str]:
    """Parts of the package that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= (
                {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "cocoop" else {node.module}
            )
    return {part_of(name) for name in found if name.startswith("cocoop.")} - {""}


def parts() -> dict[str, set[str]]:
    edges: dict[str, set[str]] = {}
    for path in modules():
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own not in ("__init__", "__main__"):
            edges.setdefault(own, set()).update(imports(path) - {own, "__version__"})
    return edges


def test_every_part_has_its_row():
    assert set(parts()) == set(ROW)


@pytest.mark.parametrize("part", sorted(ROW))
def test_imports_point_downwards(part):
    upwards = {other for other in parts().get(part, ()) if ROW[other] >= ROW[part] and (part, other) not in WITHIN_ROW}
    assert not upwards, f"{part} imports {sorted(upwards)} from its own or a higher row"


def test_no_cycles():
    edges, done = parts(), set()

    def visit(part: str, path: tuple[str, ...]) -> None:
        assert part not in path, " -> ".join([*path, part])
        if part not in done:
            for other in edges.get(part, ()):
                visit(other, (*path, part))
            done.add(part)

    for part in edges:
        visit(part, ())


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("module", TORCH_FREE)
def test_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0


def test_no_torch_for_help():
    code = (
        "import sys, cocoop.cli\n"
        "try:\n    cocoop.cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.DEVNULL).returncode == 0


def test_nothing_unpickles():
    for path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if ast.unparse(call.func) == "torch.load":
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in call.keywords), path
        assert not imported & {"dill", "shelve", "marshal", "joblib"}, path
        assert not names & {"unsafe_load", "full_load"}, path
