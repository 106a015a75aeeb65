"""Digests of source code: of what it computes, and kept beside Snakemake's files without ever being wrong."""

import pytest

from cocoop import source_code


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    (tmp_path / "code.py").write_text("def one():\n    return 1\n")
    return tmp_path


def digest(folder) -> str:
    return source_code.digest([folder / "code.py"], folder)


def test_only_what_the_code_computes_counts(folder):
    before = digest(folder)
    (folder / "code.py").write_text('def one():\n    """One."""\n    return 1  # one\n')
    assert digest(folder) == before
    (folder / "code.py").write_text("def one():\n    return 2\n")
    assert digest(folder) != before


def test_a_digest_is_kept_where_snakemake_works_and_nowhere_else(folder, monkeypatch):
    before = digest(folder)
    assert [path.read_text() for path in (folder / ".snakemake/code").iterdir()] == [before]
    monkeypatch.setattr(source_code, "canonical", None)  # not parsed again
    assert digest(folder) == before
    monkeypatch.undo()
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert digest(folder) == before
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("damage", [b"", b"\xff", b"0" * 63])
def test_a_damaged_one_is_made_again(folder, damage):
    before = digest(folder)
    (kept,) = (folder / ".snakemake/code").iterdir()
    kept.write_bytes(damage)
    assert digest(folder) == before
    assert kept.read_text() == before
