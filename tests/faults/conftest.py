"""The miniature benchmark all fault tests break, and the count of what they tried."""

import hashlib
from pathlib import Path

import pytest

from tests.data.server import FileServer
from tests.faults import figures as pages
from tests.faults import workflow
from tests.faults.figures import Entries, Figures
from tests.faults.world import World, archive

COUNTED, RUN, PARTIAL = pytest.StashKey[Figures](), pytest.StashKey[Entries](), pytest.StashKey[bool]()


@pytest.fixture
def figures(request) -> Figures:
    """What this test tried; it counts if the test passes."""
    request.node.stash[COUNTED] = Figures()
    return request.node.stash[COUNTED]


@pytest.fixture(scope="session")
def benchmark(world) -> Path:
    """A folder in which Snakemake has made the whole miniature benchmark, undisturbed. Not to be changed."""
    folder = workflow.folder_of(world, world.folder / "benchmark")
    workflow.finish(folder)
    return folder


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        _entries(item.config)[item.nodeid] = {"failed": True}
    elif report.when == "call" and report.passed:
        _entries(item.config)[item.nodeid] = {"counts": item.stash.get(COUNTED, Figures()).counts}


def pytest_deselected(items):
    if items:
        items[0].config.stash[PARTIAL] = True


def _entries(config) -> Entries:
    return config.stash.setdefault(RUN, {})


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


def pytest_sessionfinish(session, exitstatus):
    """--faults-in-full writes the page; a run of some tests, or one that was stopped, leaves the others' figures alone."""
    config = session.config
    if not config.getoption("--faults-in-full") or config.option.collectonly:
        return
    stamp, collected = pages.this_run(), {item.nodeid for item in session.items}
    partial = config.stash.get(PARTIAL, False) or exitstatus not in (0, 1)
    scope = [] if partial else [str(Path(argument).resolve()) for argument in config.args]
    pages.write({test: {"run": stamp, **entry} for test, entry in _entries(config).items()}, collected, scope)


def pytest_terminal_summary(terminalreporter, config):
    counts = pages.total([entry.get("counts", {}) for entry in _entries(config).values()])
    if counts:
        terminalreporter.write_line(pages.table(counts))
