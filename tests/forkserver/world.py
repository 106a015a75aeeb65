"""A folder in which stages are forks of real servers, of a stand-in for `cocoop`, and their processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cocoop.forkserver import client, libraries
from cocoop.io import REPOSITORY

STAGE = next(stage for stage, names in libraries.OF_STAGES.items() if names == libraries.TABLES)  # imports no torch
CLIENT = "import sys; from cocoop.forkserver import client; code = client.run(sys.argv[1:]); sys.exit(77 if code is None else code)"
NO_SERVER = 77
PACKAGE = "import sys\nexec(sys.argv[2])\n"  # the stand-in: each stage runs the code that it is given
SECONDS = 60


class World:
    """A folder with the stand-in, and a head."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tmp = folder / "here", folder / "tmp"
        for made in (self.folder / "cocoop", self.tmp):
            made.mkdir(parents=True)
        (self.folder / "cocoop" / "__init__.py").touch()
        (self.folder / "cocoop" / "__main__.py").write_text(PACKAGE)
        self.head = subprocess.Popen(["sleep", "1000"])

    def environment(self) -> dict[str, str]:
        return {
            **os.environ, client.VARIABLE: str(self.head.pid), "TMPDIR": str(self.tmp), "PYTHONPATH": str(REPOSITORY),
        }  # fmt: skip

    def start(self, code: str, stage: str = STAGE, **options) -> subprocess.Popen:
        changed, program = options.pop("environment", {}), options.pop("client", CLIENT)
        return subprocess.Popen(
            [sys.executable, "-P", "-c", program, stage, code],
            cwd=self.folder, env={**self.environment(), **changed}, text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )  # fmt: skip

    def run(self, code: str, **options) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a stage."""
        process = self.start(code, **options)
        out, err = process.communicate(timeout=SECONDS)
        return process.returncode, out, err

    def waiting(self, code: str = "", **options) -> tuple[subprocess.Popen, int]:
        """A stage that has begun and waits, and its process id."""
        process = self.start(f"import os, time\nprint(os.getpid(), flush=True)\n{code}\ntime.sleep(1000)", **options)
        return process, int(process.stdout.readline())

    def asking(self, **options) -> tuple[subprocess.Popen, int]:
        """A client that waits for an answer of a server that is as busy as one that imports torch, and the server."""
        assert self.run("print(1)")[1] == "1\n"
        (server,) = self.servers()
        os.kill(server, signal.SIGSTOP)
        process = self.start("import time; time.sleep(1000)", **options)
        assert eventually(lambda: any(map(is_socket, Path(f"/proc/{process.pid}/fd").iterdir())))
        time.sleep(0.2)  # until it reads
        return process, server

    def end(self) -> None:
        """Ends the head, and thereby the servers."""
        for server in self.servers():
            os.kill(server, signal.SIGCONT)
        self.head.kill()
        self.head.wait()

    def servers(self) -> list[int]:
        found = subprocess.run(["pgrep", "-f", f"server.py {self.tmp}"], capture_output=True, text=True)
        return [
            int(number)
            for number in found.stdout.split()
            if parent_of(int(number)) not in map(int, found.stdout.split())
        ]


def parent_of(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + SECONDS
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def is_socket(file: Path) -> bool:
    return os.path.exists(file) and os.readlink(file).startswith("socket:")
