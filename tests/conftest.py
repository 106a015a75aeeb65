"""What all tests share: one thread, no network, no silent skip where a tool should be there, and rules for two processes."""

import os
import resource
import signal
import sys

import pytest

ALLOWED_TO_SKIP = ("official split files", "no CUDA device")
ROOMS = ("slurm", "faults")  # each marks the tests of its folder; in parallel runs, each stays in one process
SLOW_CPU_SECONDS = 10.0
TOO_SLOW = 2.0  # times that: where other work runs beside the tests, they take more CPU time too


def pytest_addoption(parser):
    parser.addoption("--faults-in-full", action="store_true", help="run the fault suite with its full counts")


def pytest_configure():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell inherits that it is ignored
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["HF_HUB_OFFLINE"] = "1"


def pytest_collection_modifyitems(items):
    """Marks the tests of ROOMS and puts the longest files first, so that no process is left with one at the end."""
    for item in items:
        if (room := room_of(item.nodeid)) in ROOMS:
            item.add_marker(room)
    order = {room: place for place, room in enumerate(ROOMS)}
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (order.get(room_of(item.nodeid), len(order)), item.path not in slow))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With -n: a file's tests stay in one process, as their fixtures are expensive; so do all tests of one of ROOMS."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            room = room_of(nodeid)
            return room if room in ROOMS else nodeid.partition("::")[0]

    config.option.loadscopereorder = False  # the order of `pytest_collection_modifyitems`
    return ByFile(config, log)


def room_of(nodeid: str) -> str:
    """The folder below tests/ that a test is in."""
    return nodeid.partition("tests/")[2].partition("/")[0]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """A test that takes long says so by a mark, so that `make check` can leave it out. Fixtures do not count."""
    begun = cpu_seconds()
    outcome = yield
    used = cpu_seconds() - begun
    marked = any(item.get_closest_marker(name) for name in ("slow", *ROOMS))
    if used > SLOW_CPU_SECONDS and not marked and outcome.excinfo is None:
        message = f"{used:.0f} s of CPU time; a test of over {SLOW_CPU_SECONDS:.0f} s needs @pytest.mark.slow"
        if used > TOO_SLOW * SLOW_CPU_SECONDS:
            outcome.force_exception(pytest.fail.Exception(message, pytrace=False))
        else:
            item.warn(pytest.PytestWarning(message))


def cpu_seconds() -> float:
    """CPU time of this process and of the children that have ended."""
    forked = sys.modules.get("tests.forked")
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts) + (forked.cpu_seconds() if forked else 0.0)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """With COCOOP_REQUIRE_TOOLS (as in .ci/run) a skipped test is a failure, unless what it needs cannot be installed."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("COCOOP_REQUIRE_TOOLS"):
        reason = str(report.longrepr)
        if not any(allowed in reason for allowed in ALLOWED_TO_SKIP):
            report.outcome, report.longrepr = "failed", f"skipped, but it should run here: {reason}"


@pytest.fixture
def full(request) -> bool:
    """Whether the fault suite runs with its full counts."""
    return request.config.getoption("--faults-in-full")
