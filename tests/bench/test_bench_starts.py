"""Starts of stages: both ways are real, and CPU time counts the processes that the one who starts them does not see."""

import pytest

from cocoop.bench import starts


@pytest.mark.slow
def test_a_fork_spares_the_imports():
    found = starts.measure(repeats=1)
    assert list(found) == [starts.OWN, starts.FORK, starts.SERVER]
    assert found[starts.OWN].cpu > 2 * found[starts.FORK].cpu > 0.1  # a client alone takes less: the fork is counted
    assert found[starts.SERVER].cpu > found[starts.FORK].cpu
    assert starts.record(found)["fork"] == {"cpu_seconds": found[starts.FORK].cpu, "seconds": found[starts.FORK].wall}


def test_without_a_server_there_is_nothing_to_compare(monkeypatch):
    monkeypatch.setattr(starts, "_run", lambda out, variables: starts.Seconds(2.0, 3.0))
    found = starts.measure(repeats=2)
    assert found == {starts.OWN: starts.Seconds(2.0, 3.0)}
    assert "| process of its own |          2.00 |      3.00 |" in starts.rendered(found)
    assert starts.lines(found) == []
