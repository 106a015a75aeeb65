"""Digests of source code: of what it computes, and kept beside Snakemake's files without ever being wrong."""

import pytest

from cocoop import provenance, source_code

PART = "forkserver"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    return tmp_path


def digest() -> str:
    provenance.code.cache_clear()
    return provenance.code(PART)


def test_only_what_the_code_computes_counts():
    def of(text: str) -> str:
        return source_code.digest({"code.py": text.encode()})

    before = of("def one():\n    return 1\n")
    assert of('def one():\n    """One."""\n    return 1  # one\n') == before
    assert of("def one():\n    return 2\n") != before


def test_a_digest_is_kept_where_snakemake_works_and_nowhere_else(folder, monkeypatch):
    before = digest()
    assert [path.read_text() for path in (folder / ".snakemake/code").iterdir()] == [before]
    monkeypatch.setattr(source_code, "canonical", None)  # not parsed again
    assert digest() == before
    monkeypatch.undo()
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert digest() == before
    assert not list(elsewhere.iterdir())


def test_changed_code_has_a_digest_of_its_own(folder, monkeypatch):
    monkeypatch.setattr(provenance, "REPOSITORY", folder)
    (folder / "cocoop" / PART).mkdir(parents=True)
    (folder / "cocoop" / PART / "code.py").write_text("a = 1")
    before = digest()
    (folder / "cocoop" / PART / "code.py").write_text("a = 2")
    assert digest() != before
    provenance.code.cache_clear()


@pytest.mark.parametrize("damage", [b"", b"\xff", b"0" * 63])
def test_a_damaged_one_is_made_again(folder, damage):
    before = digest()
    (kept,) = (folder / ".snakemake/code").iterdir()
    kept.write_bytes(damage)
    assert digest() == before
    assert kept.read_text() == before
