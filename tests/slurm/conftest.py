"""One cluster for all tests, and clones that all hold the same code."""

from collections.abc import Callable, Iterator

import pytest

from cocoop import io
from tests.slurm.clone import Clone, copy_code
from tests.slurm.cluster import Cluster, missing


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster; skips where Slurm is not installed."""
    if lacking := missing():
        pytest.skip(f"Slurm is not installed ({', '.join(lacking)})")
    with Cluster() as running:
        yield running


@pytest.fixture(scope="session")
def make_clone(cluster, tmp_path_factory) -> Iterator[Callable[[str, dict], Clone]]:
    """Makes clones of the repository as it is now: an edit between two of them must not look like a difference in results."""
    source = tmp_path_factory.mktemp("source")
    copy_code(io.REPOSITORY, source)
    clones: list[Clone] = []

    def make(name: str, content: dict) -> Clone:
        clones.append(Clone(tmp_path_factory.mktemp(name), source, cluster, content))
        return clones[-1]

    yield make
    for clone in clones:
        clone.stop()
