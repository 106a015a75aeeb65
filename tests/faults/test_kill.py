"""kill -9 at random points of every stage, then again to the end: the bytes of an undisturbed run, and no half file."""

import random
import shutil
from pathlib import Path

import pytest

from tests.faults import processes
from tests.faults.world import STAGES, contents

KILLS, KILLS_IN_CI = 50, 3
KILLS_BEFORE_A_FINISH = 5


@pytest.mark.parametrize("stage", STAGES)
def test_killed_anywhere_the_end_is_the_same(stage, world, made, seconds, tmp_path, full, figures):
    whole = _finished(world, stage, made, tmp_path / "undisturbed")
    length = processes.run(world.arguments(stage, tmp_path / "timed", made), tmp_path / "log").seconds
    source, out = random.Random(stage), tmp_path / "out"
    out.mkdir()
    for killed in range(1, (KILLS if full else KILLS_IN_CI) + 1):
        _kill_once(world, stage, made, out, source, length, whole)
        figures.add(f"kill -9 during {stage}", "same bytes after a restart")
        if killed % KILLS_BEFORE_A_FINISH == 0:
            assert _finished(world, stage, made, out) == whole
            shutil.rmtree(out)
            out.mkdir()
    assert _finished(world, stage, made, out) == whole


def _kill_once(world, stage, made, out: Path, source: random.Random, length: float, whole: dict) -> None:
    """Starts the stage until one start is killed before its end; what lies there then is whole or not there."""
    while True:
        ended = processes.Stage(world.arguments(stage, out, made), out.with_suffix(".log")).kill_after(
            source.uniform(0.0, length)
        )
        found = contents(out)
        assert {name: whole.get(name) for name in found} == found
        if ended.code == -9:
            return
        assert ended.code == 0, ended.text
        shutil.rmtree(out)
        out.mkdir()


def _finished(world, stage, made, out: Path) -> dict[str, str]:
    out.mkdir(exist_ok=True)
    ended = processes.run(world.arguments(stage, out, made), out.with_suffix(".log"))
    assert ended.code == 0, ended.text
    return contents(out)
