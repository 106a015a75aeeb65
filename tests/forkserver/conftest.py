"""A world that the tests of a file share, which leaves nothing behind, and one of a single test."""

from collections.abc import Iterator

import pytest

from tests.forkserver.world import World, eventually


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("w"))
    yield world
    world.end()
    assert eventually(lambda: not world.servers())
    assert not list(world.tmp.iterdir())


@pytest.fixture
def alone(tmp_path_factory) -> Iterator[World]:
    """A world of one test, with a short name, as is the path of a socket."""
    world = World(tmp_path_factory.mktemp("a"))
    yield world
    world.end()
