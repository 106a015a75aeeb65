"""A server whose forks run `python -m cocoop` for a program `python`, which it writes into the folder that it is given."""

import fcntl
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from pathlib import Path

IMPORTED = (
    "torch",
    "open_clip",
    "pandas",
    "scipy.stats",
    "seaborn",
    "matplotlib.pyplot",
    "sklearn.linear_model",
    "jinja2",
)
FREE, MOST_FILES = 512, 64  # numbers of files from which none is used; files that a program may have open
PROGRAM = """#!{python} -ISE
import json, os, socket, sys
if sys.argv[1:3] != ["-m", "cocoop"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
files = [file for file in map(int, os.listdir("/dev/fd")) if os.path.exists(f"/dev/fd/{{file}}")]
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [b"x"], files)
server.sendall(json.dumps([sys.argv[3:], os.getcwd(), dict(os.environ), files]).encode())
server.shutdown(socket.SHUT_WR)
sys.exit(int(server.recv(16) or 1))
"""


def serve(folder: Path) -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "socket"))
    listener.listen()
    program = folder / "python"
    program.write_text(PROGRAM.format(python=sys.executable, address=str(folder / "socket")))
    program.chmod(0o755)
    signal.signal(signal.SIGCHLD, reap)
    print("ready", flush=True)
    while sys.stdin not in (ready := select.select([listener, sys.stdin], [], [])[0]):
        connection, _ = ready[0].accept()
        if not os.fork():
            listener.close()
            run(connection)
        connection.close()


def reap(*_: object) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def run(connection: socket.socket) -> None:
    """The forked process, to its end: with the files, folder and environment of the program that asked for it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    received = [fcntl.fcntl(file, fcntl.F_DUPFD, FREE) for file in socket.recv_fds(connection, 1, MOST_FILES)[1]]
    connection = socket.socket(fileno=fcntl.fcntl(connection.detach(), fcntl.F_DUPFD, FREE))
    arguments, folder, environment, numbers = json.load(connection.makefile())
    for file, number in zip(received, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)
    ours = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.environ.pop("COCOOP_FORKSERVER", None)  # this is one
    theirs = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path = [folder, *filter(None, theirs), *(path for path in sys.path if path not in ours)]
    importlib.import_module("torch").set_num_threads(int(environment.get("OMP_NUM_THREADS", 1)))
    sys.argv, code = ["cocoop", *arguments], 1
    try:
        runpy.run_module("cocoop", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(str(code).encode())
        os._exit(code)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
