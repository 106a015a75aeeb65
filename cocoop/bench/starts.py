"""Measures what starting a stage costs: in a process of its own, and as a fork of the server (cocoop/forkserver)."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from tabulate import tabulate

from cocoop.backbone import tiny
from cocoop.bench.memory import environment
from cocoop.forkserver.client import VARIABLE

REPEATS = 3
OWN, FORK, SERVER = "process of its own", "fork of the server", "server, once for each Snakemake or Slurm job"
TICKS = os.sysconf("SC_CLK_TCK")
BACKBONE = {"name": "tiny", "model": str(tiny.CONFIG), "pretrained": str(tiny.WEIGHTS), "precision": "fp32"}


class Seconds(NamedTuple):
    """CPU seconds of a stage in all its processes, and the time until it has ended."""

    cpu: float
    wall: float


Starts = Mapping[str, Seconds]
"""By the way of starting. Only OWN where there is no server."""


def measure(repeats: int = REPEATS) -> Starts:
    """Medians for a stage with hardly any work of its own: it saves the text tower of the bundled CLIP."""
    with tempfile.TemporaryDirectory() as folder, _head() as head:
        out = Path(folder) / "text_tower.safetensors"
        own = [_run(out, {}) for _ in range(repeats)]
        first = _run(out, {VARIABLE: str(head)})
        server = _server(head)
        if server is None:
            return {OWN: _median(own)}
        imports = _used(server)
        forks = [_forked(out, head, server) for _ in range(repeats)]
    fork = _median(forks)
    once = Seconds(first.cpu + sum(imports) - fork.cpu, first.wall - fork.wall)
    return {OWN: _median(own), FORK: fork, SERVER: once}


def rendered(starts: Starts) -> str:
    """The measurements as a Markdown table."""
    rows = [[how, f"{seconds.cpu:.2f}", f"{seconds.wall:.2f}"] for how, seconds in starts.items()]
    head = ["start of a stage", "CPU seconds", "seconds"]
    return tabulate(rows, head, "pipe", disable_numparse=True, colalign=["left", "right", "right"])


def lines(starts: Starts) -> list[str]:
    """What the table says in a line; none without a server."""
    if FORK not in starts:
        return []
    own, fork = starts[OWN], starts[FORK]
    return [f"start of a stage: {own.cpu / fork.cpu:.1f} times less CPU time than in a process of its own"]


def record(starts: Starts) -> dict[str, Any]:
    """JSON values for the output file."""
    names = {OWN: "process", FORK: "fork", SERVER: "server"}
    return {names[how]: {"cpu_seconds": seconds.cpu, "seconds": seconds.wall} for how, seconds in starts.items()}


@contextmanager
def _head() -> Iterator[int]:
    """The id of a process that waits for this one to end; the server ends with it."""
    head = subprocess.Popen([sys.executable, "-S", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    with head:  # closes its stdin
        yield head.pid


def _run(out: Path, variables: Mapping[str, str]) -> Seconds:
    """Runs the stage. Its CPU time is only that of the process started here and of children that it has waited for."""
    command = [sys.executable, "-m", "cocoop", "text-tower", "--backbone", json.dumps(BACKBONE), "--out", str(out)]
    others = {name: value for name, value in environment().items() if name != VARIABLE}
    start = time.perf_counter()
    stage = subprocess.Popen(command, env={**others, **variables}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(stage.pid, 0)
    wall, stage.returncode = time.perf_counter() - start, os.waitstatus_to_exitcode(status)
    if stage.returncode:
        raise subprocess.CalledProcessError(stage.returncode, command)
    return Seconds(used.ru_utime + used.ru_stime, wall)


def _forked(out: Path, head: int, server: int) -> Seconds:
    before = sum(_used(server))
    stage = _run(out, {VARIABLE: str(head)})
    return Seconds(stage.cpu + sum(_used(server)) - before, stage.wall)


def _server(head: int) -> int | None:
    """The process id of the server of a head: `python server.py FOLDER HEAD STAGE`."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_text().rstrip("\0").split("\0")
        except (OSError, ValueError):  # it has just ended, or is not ours
            continue
        at = next((at for at, word in enumerate(words) if word.endswith("forkserver/server.py")), len(words))
        if words[at + 2 : at + 3] == [str(head)]:
            return int(entry.name)
    return None


def _used(server: int) -> tuple[float, float]:
    """CPU seconds of the server, and of its forks that have ended (proc(5), fields 14 to 17 of stat)."""
    fields = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
    user, system, of_users, of_systems = (int(field) / TICKS for field in fields[11:15])
    return user + system, of_users + of_systems


def _median(found: list[Seconds]) -> Seconds:
    return Seconds(*(median(values) for values in zip(*found, strict=True)))
