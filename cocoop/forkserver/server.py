"""`python server.py FOLDER HEAD STAGE`: imports libraries and forks a stage for each client, until the process HEAD ends.

It also ends after a minute without work. If a client dies, its stage is killed; if the server dies, so are all stages. This file
imports nothing from `cocoop`, so that each fork reads the package as it is on disk at that moment.
"""

import atexit
import ctypes
import gc
import importlib
import itertools
import json
import os
import runpy
import select
import selectors
import shutil
import signal
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VARIABLE = "COCOOP_FORKSERVER"  # as in client.py
INTERRUPTED = 130  # this and the next as in cocoop/errors.py
INTERRUPTION = "interrupted: finished work is kept; run the same command again to continue."
IDLE = 60  # seconds
STDERR = 2
MOST_FILES = 250  # that a client may have open (Linux: SCM_MAX_FD is 253)
PR_SET_PDEATHSIG = 1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # to a whole cluster job: its stages decide what to do


@dataclass
class Client:
    """A connection, the files that came through it, and the fork that runs the stage."""

    connection: socket.socket
    files: list[int] = field(default_factory=list)
    received: bytes = b""
    process: int = 0
    ended: bool = False


class Server:
    """Waits for clients, their signals, and the ends of forks and of the head."""

    def __init__(self, folder: Path, head: int) -> None:
        self.folder, self.selector, self.running = folder, selectors.DefaultSelector(), set[int]()
        self.libraries = runpy.run_path(str(Path(__file__).with_name("libraries.py")))["OF_STAGES"]
        self.head = os.pidfd_open(head)
        self.listener = socket.socket(socket.AF_UNIX)
        self.address = folder / "socket"
        self.address.unlink(missing_ok=True)
        self.listener.bind(str(self.address))
        self.listener.listen(100)
        self.inode = self.address.stat().st_ino
        self.selector.register(self.head, selectors.EVENT_READ, self.close)
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)

    def serve(self) -> None:
        """Until the head has ended or there is nothing to do, and no stage runs."""
        while self.listener.fileno() >= 0 or self.running:
            ready = self.selector.select(None if self.running else IDLE)
            for key, _ in ready:
                key.data()
            if not ready:
                self.close()

    def close(self) -> None:
        """Accepts no more clients. Stages that still run have clients of their own, which outlive a Snakemake that was killed."""
        for file in (self.head, self.listener):
            self.selector.unregister(file)
        self.listener.close()
        with suppress(FileNotFoundError):
            if self.address.stat().st_ino == self.inode:  # it is not another server's
                shutil.rmtree(self.folder, ignore_errors=True)

    def accept(self) -> None:
        client = Client(self.listener.accept()[0])
        self.selector.register(client.connection, selectors.EVENT_READ, lambda: self.read(client))

    def read(self, client: Client) -> None:
        """A client's files, its request and its signals, each on a line; or its end."""
        try:
            received, files, *_ = socket.recv_fds(client.connection, 1 << 16, MOST_FILES)
        except OSError:
            received, files = b"", []
        client.files += files
        client.received += received
        *lines, client.received = client.received.split(b"\n")
        for message in map(json.loads, lines):
            if "signal" in message:
                self.pass_on(client, message["signal"])
            elif "arguments" in message:
                self.begin(client, message)
        if not received:
            self.selector.unregister(client.connection)
            client.connection.close()
            self.pass_on(client, signal.SIGKILL)

    def pass_on(self, client: Client, number: int) -> None:
        """A signal to the stage and to the processes that it started, as from a terminal."""
        if client.process and not client.ended:
            os.killpg(client.process, number)

    def begin(self, client: Client, request: dict[str, Any]) -> None:
        """Forks the stage, unless the client was interrupted meanwhile. If that fails, it hangs up: the client runs the stage."""
        try:
            self.import_for(request["arguments"][0])
            if not gone(client.connection):
                self.fork(client, request)
        except Exception:  # a library or a file too many, for example
            with suppress(OSError):
                client.connection.shutdown(socket.SHUT_RDWR)
        for file in client.files:
            os.close(file)

    def import_for(self, stage: str) -> None:
        for library in self.libraries[stage]:
            importlib.import_module(library)

    def fork(self, client: Client, request: dict[str, Any]) -> None:
        files = dict(zip(request["files"], client.files, strict=True))
        gc.freeze()  # the collectors of forks leave these objects, and thus their memory, shared
        server = os.getpid()
        client.process = os.fork()
        if not client.process:
            become(files, request, server)
        with suppress(OSError):  # it has done so itself, or has ended
            os.setpgid(client.process, client.process)
        self.answer(client, {"forked": client.process})
        ended = os.pidfd_open(client.process)
        self.running.add(ended)
        self.selector.register(ended, selectors.EVENT_READ, lambda: self.end(client, ended))

    def end(self, client: Client, ended: int) -> None:
        self.selector.unregister(ended)
        self.running.discard(ended)
        os.close(ended)
        client.ended = True
        status = os.waitpid(client.process, 0)[1]
        self.answer(client, {"code": os.waitstatus_to_exitcode(status)})

    def answer(self, client: Client, message: dict[str, Any]) -> None:
        with suppress(OSError):  # the client has died, which `read` will see
            client.connection.sendall(json.dumps(message).encode() + b"\n")


def gone(connection: socket.socket) -> bool:
    """Whether the other end has closed it, even if something that it sent before has not been read."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(0))


def become(files: dict[int, int], request: dict[str, Any], server: int) -> None:
    """The forked process, to its end: the one that its client would have been.

    files: numbers of the client's files, by their numbers there.
    """
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:  # it has just died
            return
        os.setpgid(0, 0)
        _take(files)
        for number in SIGNALS:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, signal.SIG_IGN if number in request["ignored"] else default)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.umask(request["umask"])
        os.environ.clear()
        os.environ.update(request["environment"])
        del os.environ[VARIABLE]
        sys.path.insert(0, os.getcwd())  # as `python -m` does
        sys.argv = ["cocoop", *request["arguments"]]
        ended = _run()
        sys.stdout.flush()
        sys.stderr.flush()
        code = ended
    except KeyboardInterrupt:
        print(INTERRUPTION, file=sys.stderr)
        code = INTERRUPTED
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _take(files: dict[int, int]) -> None:
    """Gives the client's files the numbers that they have there, first stderr, for what fails, and closes the server's."""
    if STDERR in files:
        os.dup2(files[STDERR], STDERR)
    taken = {*files, *files.values(), STDERR}
    for number in map(int, os.listdir("/proc/self/fd")):
        if number not in {*files.values(), STDERR}:
            with suppress(OSError):  # the listing's own
                os.close(number)
    free = (number for number in itertools.count() if number not in taken)
    moved = {number: os.dup2(file, next(free)) for number, file in files.items()}
    for file in files.values():
        os.close(file)
    for number, file in moved.items():
        os.dup2(file, number)
        os.close(file)


def _run() -> int:
    """Runs the stage like `python -m cocoop` and returns its exit code."""
    code = 0
    try:
        runpy.run_module("cocoop", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # as at the end of every Python process
    atexit._run_exitfuncs()
    return code


def main(folder: Path, head: int, first: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        server = Server(folder, head)
    except OSError:  # the head has ended, or is in another namespace
        shutil.rmtree(folder, ignore_errors=True)
        return
    print("ready", flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    server.import_for(first)
    server.serve()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
