"""Paths that begin with `~`: the home folder, a file of this very name, or one line that says that there is neither."""

from pathlib import Path

import pytest

from cocoop.errors import UserError
from cocoop.places import expanded


def test_home_and_files_that_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert expanded("~/pictures") == Path("/home/me/pictures")
    assert expanded("a~/b") == Path("a~/b")
    for name in ("~draft.png", "~root"):
        Path(name).touch()
        assert expanded(name) == Path(name)


def test_a_home_that_is_unknown_is_named_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        expanded("~unknown/pictures")
    assert str(error.value) == (
        "~unknown/pictures: no such file or folder, and no home folder '~unknown' either; to make one of this name, write "
        "./~unknown/pictures."
    )
