"""What all tests share: one thread, no network surprises, and no silent skip where a tool should be there."""

import os
import signal

import pytest

ALLOWED_TO_SKIP = ("official split files", "no CUDA device")


def pytest_addoption(parser):
    parser.addoption("--faults-in-full", action="store_true", help="run the fault suite with its full counts")


def pytest_configure():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell inherits that it is ignored
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["HF_HUB_OFFLINE"] = "1"


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
