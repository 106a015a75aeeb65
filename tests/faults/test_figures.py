"""How the page's figures come about: only of tests that passed, with commit and date; a run of some tests leaves the rest."""

import os
import subprocess
import sys

from cocoop import io
from tests.faults import figures as pages

A, B = "tests/faults/test_kill.py::test_one", "tests/faults/test_disk.py::test_two"
OLD = {
    A: {"run": "aaa, 2026-01-01", "counts": {"kill": {"same bytes": 5}}},
    B: {"run": "aaa, 2026-01-01", "counts": {"disk": {"one line": 2}, "kill": {"same bytes": 1}}},
}


def page(tmp_path):
    path = tmp_path / "reliability.md"
    path.write_text(f"above\n{pages.BEGIN}\n{pages.END}\nbelow\n")
    return path


def test_a_run_of_some_tests_leaves_the_rest(tmp_path):
    path = page(tmp_path)
    pages.write(OLD, set(OLD), [], path)
    assert "| kill | 6 | 0 | 0 | 6 same bytes |" in path.read_text()
    pages.write({A: {"run": "bbb, 2026-01-02", "counts": {"kill": {"same bytes": 50}}}}, {A}, [], path)
    text = path.read_text()
    assert "| kill | 51 | 0 | 0 | 51 same bytes |" in text and "| disk | 2 | 0 | 0 | 2 one line |" in text
    assert "commit aaa, 2026-01-01 (tests: 1); bbb, 2026-01-02 (tests: 1)" in text
    assert text.startswith("above\n") and text.endswith("below\n")


def test_a_failed_test_is_named_and_not_counted(tmp_path):
    path = page(tmp_path)
    pages.write(OLD, set(OLD), [], path)
    pages.write({A: {"run": "bbb, 2026-01-02", "failed": True}}, {A}, [], path)
    assert f"**Failed**, and not counted: `{A}`." in path.read_text()
    assert "| kill | 1 | 0 | 0 | same bytes |" in path.read_text()


def test_a_test_that_is_gone_takes_its_figures_along():
    folder = str(io.REPOSITORY / "tests/faults")
    assert set(pages.merged(OLD, {}, {A}, [folder])) == {A}
    gone = "tests/faults/test_no_more.py::test_three"
    assert set(pages.merged({**OLD, gone: OLD[A]}, {}, {A}, [])) == {A, B}
    assert set(pages.merged(OLD, {}, {A}, [f"{folder}/test_kill.py"])) == {A, B}


TESTS = """
def test_good(figures):
    figures.add("good", "same bytes")

def test_bad(figures):
    figures.add("bad", "same bytes")
    assert False
"""


def test_only_what_a_passed_test_counted_reaches_the_table(tmp_path):
    """The hooks of conftest.py, over one test that passes and one that adds and then fails."""
    hooks = "figures, pytest_runtest_makereport, pytest_terminal_summary"
    (tmp_path / "conftest.py").write_text(f"from tests.faults.conftest import {hooks}  # noqa: F401\n")
    (tmp_path / "test_x.py").write_text(TESTS)
    environment = {**os.environ, "PYTHONPATH": str(io.REPOSITORY)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True).stdout
    assert "1 failed, 1 passed" in said and "| good | 1 |" in said and "| bad |" not in said, said
