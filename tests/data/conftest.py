"""A loopback server, and every dataset of the paper in miniature: downloaded from it, ready to read."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cocoop.config.specs import DatasetSpec
from cocoop.data import prepare
from cocoop.data.download import drive, transfer
from tests.data.command_line import CommandLine
from tests.data.own import Own
from tests.data.server import FileServer
from tests.data.tiny import tiny_spec


@pytest.fixture(scope="session")
def server() -> Iterator[FileServer]:
    """The server, on a free port, for the whole session."""
    served = FileServer()
    yield served
    served.close()


@pytest.fixture(autouse=True, scope="session")
def direct(server: FileServer) -> Iterator[None]:
    """No proxy and no pause between tries; Google Drive is the loopback server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setattr(transfer, "PAUSE_SECONDS", 0)
        patch.setattr(drive, "ADDRESS", server.url + "/drive")
        yield


@pytest.fixture(scope="session")
def tiny_dataset(
    server: FileServer, direct: None, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[DatasetSpec, Path]]:
    """`tiny_dataset(name)`: the spec of a miniature of a shipped dataset and the data root it was downloaded into."""
    made: dict[str, tuple[DatasetSpec, Path]] = {}

    def get(name: str) -> tuple[DatasetSpec, Path]:
        if name not in made:
            base = tmp_path_factory.mktemp(name)
            spec = tiny_spec(name, server, base / "data")
            prepare.download(spec, base / "data", base / "source.json", offline=False)
            made[name] = spec, base / "data"
        return made[name]

    return get


@pytest.fixture
def copy(tiny_dataset, tmp_path):
    """`copy(name)`: the spec and folder of a copy of a tiny dataset that a test may damage."""

    def get(name, **keys):
        spec, data_root = tiny_dataset(name)
        shutil.copytree(data_root, tmp_path / "data", symlinks=False, dirs_exist_ok=True)
        settings = {key: value for key, value in spec.settings.items() if key != "link"}
        return replace(spec, settings=settings | keys), tmp_path / "data" / spec.folder

    return get


@pytest.fixture
def own(tmp_path, monkeypatch, capsys) -> CommandLine:
    """The command line in an empty working folder, with the dataset `own`."""
    monkeypatch.chdir(tmp_path)
    return CommandLine(tmp_path, capsys)


@pytest.fixture
def workplace(tmp_path, monkeypatch, capsys) -> Own:
    """The command line in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    return Own(tmp_path, capsys)
