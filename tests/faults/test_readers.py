"""Each kind of reader on damaged lists and folders: a manifest that holds together, or one line; never a traceback."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cocoop.config.specs import DatasetSpec
from cocoop.data import check, prepare, readers
from cocoop.errors import UserError
from cocoop.manifest import Manifest
from tests.faults.listings import MADE, damage, lay_out

CASES, CASES_IN_CI = 1500, 50
SLOWER = 10  # times: MATLAB files are tried in a process of their own


def outcome(spec: DatasetSpec, root: Path, whole: Manifest) -> str:
    """Of the manifest stage and of `dataset check`; whatever comes out of the first must hold together."""
    for read in (lambda: manifest(spec, root, whole), lambda: check.report(spec, root)):
        try:
            found = read()
        except UserError as error:
            if "\n" in str(error) or (str(root) not in str(error) and spec.name not in str(error)):
                return f"crashed: no line that says where: {error}"
            return "one line"
        except Exception as error:  # whatever it is, a user would see a traceback
            return f"crashed {type(error).__name__}: {error}"
        if isinstance(found, Manifest):
            verdict = "same manifest" if found == whole else "another valid manifest"
    return verdict


def manifest(spec: DatasetSpec, root: Path, whole: Manifest) -> Manifest:
    found = prepare.manifest(spec, root, root / "manifest.json")
    assert Manifest.load(root / "manifest.json") == found
    labels = {item.label for items in found.splits.values() for item in items}
    assert labels == set(range(len(found.classnames))), "a class without images, or images without a class"
    return found


def test_no_kind_is_left_out():
    assert {kind.split(" ")[0] for kind in MADE} == set(readers.KINDS)


@pytest.mark.parametrize("kind", MADE)
def test_damaged_lists_and_folders(kind, tmp_path, full, figures):
    pristine, root, bad = tmp_path / "pristine", tmp_path / "root", []
    reader, lists = lay_out(kind, pristine)
    reader["kind"] = kind.split(" ")[0]
    spec = DatasetSpec("odd", {"title": "Odd", "template": "a {}.", "reader": reader})
    shutil.copytree(pristine, root / "odd")
    whole = prepare.manifest(spec, root, root / "manifest.json")

    @settings(
        max_examples=(CASES if full else CASES_IN_CI) // (SLOWER if any(".mat" in name for name in lists) else 1),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def once(data) -> None:
        shutil.rmtree(root)
        shutil.copytree(pristine, root / "odd")
        what, change = data.draw(damage(root / "odd", lists))
        change()
        found = outcome(spec, root, whole)
        figures.add("damaged lists and folders", "crashed" if found.startswith("crashed") else found)
        if found.startswith("crashed"):
            bad.append(f"{found[:300]} after {what[:200]}")

    once()
    assert not bad, "\n".join(bad[:5])
