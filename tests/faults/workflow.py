"""The miniature benchmark through a real Snakemake, in a process group of its own, as a terminal would start it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from cocoop import io
from tests import forked

SNAKEFILE, HERE = io.REPOSITORY / "workflow/Snakefile", str(io.REPOSITORY)
PATIENCE_SECONDS = 600


def folder_of(world, folder: Path) -> Path:
    """A working folder with the miniature benchmark's configuration and no results."""
    folder.mkdir()
    os.symlink(world.folder / "config", folder / "config")
    return folder


def start(folder: Path, *arguments: str, cores: int = 1) -> subprocess.Popen:
    """`snakemake`, of the whole benchmark or of the files named."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--cores", str(cores), *arguments]
    return popen(command, folder)


def popen(command: list[str], folder: Path) -> subprocess.Popen:
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": HERE}
    return subprocess.Popen(
        command, cwd=folder, env=environment, start_new_session=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )  # fmt: skip


def ended(running: subprocess.Popen) -> tuple[int, str]:
    """Exit code and all it said."""
    said, _ = running.communicate(timeout=PATIENCE_SECONDS)
    return running.returncode, said


def finish(folder: Path, *arguments: str, cores: int = 2) -> str:
    """Runs to the end, which must be a good one; what was said."""
    done = forked.snakemake(
        "--snakefile", str(SNAKEFILE), "--cores", str(cores), *arguments, folder=folder, PYTHONPATH=HERE
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:] + logs(folder)
    return said


def unlock(folder: Path) -> None:
    finish(folder, "--unlock")


def killed(running: subprocess.Popen) -> None:
    """kill -9 of the whole group, jobs included."""
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()


def interrupted(running: subprocess.Popen, line: str) -> tuple[float, float, int, str]:
    """Ctrl-C as a terminal sends it; seconds until `line` was said and until Snakemake was gone, exit code, all it said."""
    os.killpg(running.pid, signal.SIGINT)
    begun, said, text = time.monotonic(), float("inf"), ""
    for one in running.stdout:
        text += one
        if line in one:
            said = time.monotonic() - begun
    code = running.wait(PATIENCE_SECONDS)
    return said, time.monotonic() - begun, code, text


def wait_for_log(place: Path, running: subprocess.Popen) -> None:
    """Until a job has begun its log below `place`."""
    limit, before = time.monotonic() + PATIENCE_SECONDS, set(place.rglob("*.log"))
    while set(place.rglob("*.log")) <= before and running.poll() is None and time.monotonic() < limit:
        time.sleep(0.02)
    assert running.poll() is None, running.communicate()[0]


def logs(folder: Path) -> str:
    return "\n".join(f"{path}: {path.read_text()[-600:]}" for path in (folder / "results/logs").rglob("*.log"))
