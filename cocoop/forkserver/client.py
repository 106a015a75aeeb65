"""The process that Snakemake starts for a stage: it has the server fork the stage, and ends like it.

The first stage of a workflow, or a download before it, starts the server, which serves only the stages of one Snakemake, in
the same folder with the same environment variables. No state is shared but imported libraries. `python -m
cocoop.forkserver.client STAGE` starts a server ahead of its first stage: a Slurm job does so, because it runs each stage in a job
step, which a server of its own would not outlive.
"""

import fcntl
import hashlib
import json
import os
import re
import select
import signal
import socket
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cocoop.errors import INTERRUPTED, INTERRUPTION
from cocoop.forkserver import libraries

VARIABLE = "COCOOP_FORKSERVER"  # process id of the Snakemake whose stages share a server
LONGEST_ADDRESS = 100  # bytes; Linux allows 107
# Variables that differ between the steps of a Slurm job, and that no library reads when it is imported.
OF_STEPS = re.compile(
    r"_|SHLVL|TE?MP(DIR)?|(SLURM|SRUN)_\w+|(CUDA|ROCR)_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|ZE_AFFINITY_MASK"
)
PATIENCE = 0.5  # seconds in which a server that is not busy answers
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Reply = dict[str, Any]


def run(arguments: list[str]) -> int | None:
    """The exit code of a stage that the server has run; None if it must run in this process."""
    stage = arguments[0] if arguments else ""
    try:
        if stage in libraries.AHEAD:
            start(libraries.AHEAD[stage])
        if stage not in libraries.OF_STAGES:
            return None
        server = _server(stage)
        return _ran(server, arguments) if server else None
    except OSError:
        return None
    except KeyboardInterrupt:  # before the stage has begun
        print(INTERRUPTION, file=sys.stderr)
        return INTERRUPTED


def start(stage: str) -> None:
    """Starts the server ahead of a first stage; does nothing where there can be none."""
    with suppress(OSError):
        _server(stage)


def tidy(head: int) -> None:
    """Removes what killed servers of a Snakemake have left, at its end. A server that still runs removes its own folder."""
    import shutil
    import tempfile

    places = {Path(os.environ.get("TMPDIR") or "/tmp"), Path(tempfile.gettempdir())}
    for folder in (found for place in places for found in place.glob(_named(str(head), "*"))):
        with suppress(OSError):
            if server := _connection(folder):
                server.close()
            else:
                shutil.rmtree(folder)


def _server(stage: str) -> socket.socket | None:
    """A connection to the server, which is started with the libraries of a stage if it does not run; None if there can be none."""
    head = os.environ.get(VARIABLE, "")
    if not head.isdigit() or not hasattr(os, "pidfd_open"):
        return None
    folder = _folder(head)
    return _connected(folder, head, stage) if folder else None


def _folder(head: str) -> Path | None:
    """A private folder for the socket; None if there is no safe and short path."""
    folder = Path(os.environ.get("TMPDIR") or "/tmp", _named(head, _surroundings()))
    if len(os.fsencode(folder / "socket")) > LONGEST_ADDRESS:
        return None
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return folder if private else None


def _named(head: str, surroundings: str) -> str:
    return f"cocoop-{os.getuid()}-{head}-{surroundings}"


def _surroundings() -> str:
    """A digest of what libraries may have seen when the server imported them: a fork must see the same."""
    variables = sorted(item for item in os.environ.items() if not OF_STEPS.fullmatch(item[0]))
    return hashlib.sha256(repr((variables, os.getcwd(), sys.executable, sys.path)).encode()).hexdigest()[:12]


def _connected(folder: Path, head: str, stage: str) -> socket.socket | None:
    """A connection to the server, which is started if it does not run. Only one process at a time tries."""
    if server := _connection(folder):
        return server
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if server := _connection(folder):
            return server
        return _connection(folder) if _started(folder, head, stage) else None


def _connection(folder: Path) -> socket.socket | None:
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(str(folder / "socket"))
    except (FileNotFoundError, ConnectionRefusedError):
        server.close()
        return None
    return server


def _started(folder: Path, head: str, stage: str) -> bool:
    """Starts the server and waits until it is ready for clients."""
    import subprocess

    program = Path(__file__).with_name("server.py")
    server = subprocess.Popen(
        [sys.executable, "-P", str(program), str(folder), head, stage],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert server.stdout is not None
    return server.stdout.readline() == b"ready\n"


def _ran(server: socket.socket, arguments: list[str]) -> int | None:
    """Asks for a stage and waits for its end; passes on signals, and ends by the same signal as the stage.

    A signal before the stage has begun ends this process, instead of waiting for a server that still imports libraries. If the
    stage cannot begin, signals have the effect that they had before, even those that came meanwhile.
    """
    begun, early = False, list[int]()

    def pass_on(number: int, _: Any) -> None:
        with suppress(OSError):  # it has ended, and its answer is on the way
            _send(server, {"signal": number})
        if begun:
            return
        early.append(number)
        if not select.select([server], [], [], PATIENCE)[0]:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            _die_by(number)

    before = {number: handler for number in FORWARDED if (handler := signal.getsignal(number)) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, pass_on)
    replies = _asked(server, arguments, [number for number in FORWARDED if number not in before])
    if not replies:
        _take_back(before, early)
        return None
    begun = True
    code = _read(replies).get("code", -signal.SIGKILL)  # no answer: the server was killed, and its forks with it
    if code < 0:
        _die_by(-code)
    return code


def _asked(server: socket.socket, arguments: list[str], ignored: list[int]) -> Any:
    """Hands over a stage; returns the server's replies when the stage has begun, None if it cannot.

    ignored: signals that this process ignores, by nohup, for example.
    """
    # A fork inherits no files from this process, so it gets them all: a stage may read from its stdin or /dev/fd/63.
    files = [file for file in map(int, os.listdir("/dev/fd")) if os.path.exists(f"/dev/fd/{file}")]
    files.remove(server.fileno())
    mask = os.umask(0o077)
    os.umask(mask)
    request = {"arguments": arguments, "files": files, "umask": mask, "ignored": ignored, "environment": {**os.environ}}
    try:
        socket.send_fds(server, [b"{}\n"], files)
        _send(server, request)
    except OSError:  # it has ended, or there are too many files
        return None
    replies = server.makefile("rb")
    return replies if _read(replies).get("forked") else None


def _take_back(before: Mapping[signal.Signals, Any], early: list[int]) -> None:
    """Gives signals the handlers that they had before, which then handle those that came early."""
    for number, handler in before.items():
        signal.signal(number, handler)
    for number in early:
        signal.raise_signal(number)


def _die_by(number: int) -> None:
    if number in FORWARDED:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _send(server: socket.socket, message: Mapping[str, Any]) -> None:
    server.sendall(json.dumps(message).encode() + b"\n")


def _read(replies: Any) -> Reply:
    """A line of JSON; empty if the server has ended."""
    try:
        return json.loads(replies.readline() or b"{}")
    except (OSError, ValueError):
        return {}


if __name__ == "__main__":
    start(sys.argv[1])
