"""The rules of the house: layers, no cycles, small files, torch only where it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from cocoop.io import REPOSITORY

PACKAGE = REPOSITORY / "cocoop"
NESTED = {"planning", "reporting", "demo"}  # folders whose subfolders are rooms of their own
ROWS = [
    {"errors", "fonts", "io", "kept", "metrics", "places", "progress", "source_code", "yaml_loader"},
    {"config", "manifest", "provenance", "gpus", "device", "forkserver"},
    {"run"},
    {"splits", "draws", "demo.drawing", "demo.miniatures", "data"},
    {"text", "backbone", "images"},
    {"methods"},
    {"training", "evaluation", "demo.pretraining"},
    {"planning", "bench", "planning.cost", "planning.status"},
    {"reporting.records", "reporting.tables", "reporting.figures", "reporting.page"},
    {"api"},
    {"cli"},
]
ROW = {name: row for row, names in enumerate(ROWS) for name in names}
WITHIN_ROW = {  # the only edges inside a row, all downwards: (importer, imported)
    ("io", "errors"), ("io", "places"), ("io", "yaml_loader"), ("places", "errors"), ("source_code", "io"),
    ("kept", "io"), ("kept", "errors"), ("config", "manifest"), ("device", "gpus"), ("draws", "splits"),
    ("demo.miniatures", "demo.drawing"), ("data", "splits"), ("data", "demo.miniatures"), ("images", "backbone"),
    ("images", "text"), ("text", "backbone"), ("evaluation", "training"), ("bench", "planning.cost"),
    ("planning.cost", "planning"), ("planning.status", "planning"), ("planning.status", "planning.cost"),
    ("reporting.tables", "reporting.records"), ("reporting.figures", "reporting.records"),
    ("reporting.figures", "reporting.tables"), ("reporting.page", "reporting.records"),
    ("reporting.page", "reporting.tables"), ("reporting.page", "reporting.figures"),
}  # fmt: skip
TORCH_FREE = [
    "cocoop", "cocoop.config", "cocoop.fonts", "cocoop.run", "cocoop.splits", "cocoop.manifest", "cocoop.provenance",
    "cocoop.data.prepare", "cocoop.data.listing", "cocoop.planning", "cocoop.reporting.records", "cocoop.reporting.tables",
    "cocoop.reporting.figures", "cocoop.reporting.page", "cocoop.cli",
]  # fmt: skip
MOST_LINES = 250


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """`cocoop.planning.cost.table` is in room planning.cost, `cocoop.planning.plan` in planning, `cocoop.io` in io."""
    names = module.split(".")[1:]
    nested = len(names) > 1 and names[0] in NESTED and PACKAGE.joinpath(*names[:2]).is_dir()
    return ".".join(names[: 2 if nested else 1])


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("cocoop.")} - {"cocoop.__version__"}


def rooms() -> dict[str, set[str]]:
    edges: dict[str, set[str]] = {}
    for path in modules():
        own = room_of(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
        if own not in ("__init__", "__main__", "demo", "reporting"):
            edges.setdefault(own, set()).update({room_of(name) for name in imports(path)} - {own})
    return edges


def test_every_room_has_its_row():
    assert set(rooms()) == set(ROW)


@pytest.mark.parametrize("part", sorted(ROW))
def test_imports_point_downwards(part):
    upwards = {other for other in rooms().get(part, ()) if ROW[other] >= ROW[part] and (part, other) not in WITHIN_ROW}
    assert not upwards, f"{part} imports {sorted(upwards)} from its own or a higher row"


def test_no_cycles():
    edges, done = rooms(), set()

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


def test_planning_needs_what_snakemake_brings():
    """Snakemake reads the Snakefile in its own environment, where the jobs' packages may be missing."""
    code = (
        "import sys\n"
        "from cocoop.planning.files import plan_of\nfrom cocoop.planning.jobs import jobs_of\n"
        "import cocoop.planning.status.slurm, cocoop.provenance\n"
        "[job.command for job in jobs_of(plan_of())]\n"
        "files = {name.split('.')[0]: getattr(module, '__file__', None) or '' for name, module in sys.modules.items()}\n"
        "print(*(name for name, file in files.items() if 'site-packages' in file))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    brought = {"yaml", "jsonschema", "referencing", "pydantic", "tabulate", "requests", "packaging", "psutil"}
    beneath = {
        "attr",
        "attrs",
        "rpds",
        "idna",
        "typing_extensions",
        "typing_inspection",
        "annotated_types",
        "pydantic_core",
    }
    ignored = {name for name in done.stdout.split() if name.startswith(("__editable__", "_distutils", "jsonschema_"))}
    assert set(done.stdout.split()) - ignored <= brought | beneath


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
