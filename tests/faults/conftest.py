"""The miniature benchmark all fault tests break, and the count of what they tried."""

import hashlib
from pathlib import Path

import pytest

from tests.datasets.server import FileServer
from tests.faults import figures as pages
from tests.faults.figures import Figures
from tests.faults.world import World, archive

FIGURES = Figures()


@pytest.fixture(scope="session")
def figures() -> Figures:
    return FIGURES


@pytest.fixture(scope="session")
def served():
    server = FileServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def world(served, tmp_path_factory) -> World:
    content = archive()
    url = served.put("/flags.tar", content)
    return World(tmp_path_factory.mktemp("world"), url, hashlib.sha256(content).hexdigest())


@pytest.fixture(scope="session")
def seconds(world) -> dict[str, float]:
    """All stages made once, undisturbed, in `made`; the seconds each took."""
    return world.make_all(world.folder / "made")


@pytest.fixture(scope="session")
def made(world, seconds) -> Path:
    """The folder of all stages' results. Tests copy what they change."""
    return world.folder / "made"


def pytest_terminal_summary(terminalreporter, config):
    if not FIGURES.counts:
        return
    terminalreporter.write_line(pages.table(FIGURES.rows()))
    if config.getoption("--faults-in-full"):
        pages.write(FIGURES.rows())
