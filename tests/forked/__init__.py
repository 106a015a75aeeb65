"""`snakemake` and its stages, forked from processes that have imported what they import: that takes most of their time.

For tests of what a workflow plans and makes. Tests that kill or interrupt it start it as a user does.
"""

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
# With arguments, this is `snakemake` itself, but asks Slurm every second; by itself it asks less often the longer it waits.
SNAKEMAKE = (sys.executable, "-P", str(HERE / "snakemakes.py"))
STAGES = (sys.executable, "-P", str(HERE / "stages.py"))
TICKS = os.sysconf("SC_CLK_TCK")
_started: list[subprocess.Popen] = []


def snakemake(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """`snakemake` with these arguments in a folder, with this Python first on PATH; `environment` changes ours."""
    path = f"{python()}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    everything = {**os.environ, "PATH": path, **environment}
    server = _snakemakes()
    with tempfile.TemporaryDirectory() as place:
        said = [f"{place}/stdout", f"{place}/stderr"]
        request = {"arguments": arguments, "folder": str(folder), "environment": everything, "said": said}
        print(json.dumps(request), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        out, err = (Path(file).read_text() for file in said)
    return subprocess.CompletedProcess(["snakemake", *arguments], code, out, err)


def cpu_seconds() -> float:
    """CPU time of the forked processes that have ended, which are no children of this one."""
    return sum(_children_of(server) for server in _started)


def _children_of(server: subprocess.Popen) -> float:
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / TICKS  # cutime and cstime, proc(5)


@cache
def _snakemakes() -> subprocess.Popen:
    return _start(SNAKEMAKE)


@cache
def python() -> str:
    """A folder with a program `python` that has `python -m cocoop` run by a fork; its socket lies beside it."""
    folder = tempfile.mkdtemp(prefix="forked")
    _start((*STAGES, folder))
    return folder


def _start(command: tuple[str, ...]) -> subprocess.Popen:
    """A server, when it is ready; it ends with this process, whose end closes its input."""
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n"
    _started.append(server)
    return server
