"""What a server or a fork cannot do: the client runs the stage, with its own signals, or the stage's stderr says why it failed."""

import os
import resource
import signal
import socket
import subprocess

import pytest

from cocoop.errors import INTERRUPTED, INTERRUPTION
from cocoop.forkserver import client, libraries
from cocoop.io import REPOSITORY
from tests.forkserver.world import NO_SERVER, SECONDS, STAGE

BY_ITSELF = """
import signal, sys, time
from cocoop.forkserver import client

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup, around the tests, would ignore
{first}
assert client.run(sys.argv[1:]) is None
print("by itself", flush=True)
time.sleep(1000)
"""
BROKEN_PIPE = """
def send(server, *_):
    server.shutdown(2)
    raise BrokenPipeError

client.socket.send_fds = send
"""
NO_FILE = 2**31 - 1


@pytest.mark.parametrize("number", client.FORWARDED)
def test_signals_of_a_stage_whose_server_was_killed_are_its_own(alone, number):
    process, server = alone.asking(client=BY_ITSELF.format(first=""))
    os.kill(server, signal.SIGKILL)
    assert process.stdout.readline() == "by itself\n"
    process.send_signal(number)
    assert process.wait(SECONDS) == -number


def test_signals_of_a_stage_that_could_not_be_handed_over_are_its_own(world):
    process = world.start("", client=BY_ITSELF.format(first=BROKEN_PIPE))
    assert process.stdout.readline() == "by itself\n"
    process.terminate()
    assert process.wait(SECONDS) == -signal.SIGTERM


def test_an_interrupt_while_the_server_is_killed(alone):
    process, server = alone.asking()
    process.send_signal(signal.SIGINT)
    os.kill(server, signal.SIGKILL)
    assert process.communicate(timeout=SECONDS) == ("", f"{INTERRUPTION}\n")
    assert process.returncode == INTERRUPTED


def test_a_library_that_cannot_be_imported_leaves_other_stages_alone(alone):
    stage = next(stage for stage, names in libraries.OF_STAGES.items() if "seaborn" in names)
    (alone.folder / "broken").mkdir()
    (alone.folder / "broken/seaborn.py").write_text("1 / 0")
    environment = {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{alone.folder}/broken"}
    reads = "print('begun', flush=True); print(sys.stdin.read())"
    process = alone.start(reads, stdin=subprocess.PIPE, environment=environment)
    assert process.stdout.readline() == "begun\n"
    assert alone.run("", stage=stage, environment=environment)[0] == NO_SERVER
    assert process.communicate("still there", timeout=SECONDS) == ("still there\n", "")


@pytest.mark.parametrize("limit", [512, 64])
def test_few_files(alone, limit):
    """The highest number that the limit allows is that of a file which the stage reads."""
    reading, writing = os.pipe()
    os.write(writing, b"read")
    os.close(writing)
    os.dup2(reading, limit - 1)
    try:
        found = alone.run(
            f"import os; print(open('/dev/fd/{limit - 1}').read(), os.getppid())", pass_fds=[limit - 1],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
        )  # fmt: skip
    finally:
        os.close(reading)
        os.close(limit - 1)
    assert found == (0, f"read {alone.servers()[0]}\n", "")


def request(**changed) -> dict:
    environment = {**os.environ, client.VARIABLE: "1"}
    same = {"arguments": [STAGE, "import time; time.sleep(1000)"], "files": [2], "umask": 0o022, "ignored": []}
    return {**same, "environment": environment, **changed}


def ask(server: socket.socket, world, files: list[int], *messages: dict) -> None:
    """Sends messages at once, with files."""
    assert world.run("")[0] == 0
    server.settimeout(SECONDS)
    server.connect(str(next(world.tmp.glob("*/socket"))))
    socket.send_fds(server, [b"".join(client.json.dumps(message).encode() + b"\n" for message in messages)], files)


@pytest.mark.parametrize("wrong", [{"umask": None}, {"ignored": None}, {"files": [NO_FILE, 2]}, {"environment": None}])
def test_what_fails_before_the_stage_is_said_in_its_stderr(alone, wrong):
    reading, writing = os.pipe()
    with socket.socket(socket.AF_UNIX) as server:
        ask(server, alone, [writing] * len(wrong.get("files", [2])), request(**wrong))
        os.close(writing)
        with open(reading) as said:
            text = said.read()
    assert text.startswith("Traceback") and "Error: " in text.splitlines()[-1]


def test_a_signal_that_comes_with_the_request_ends_the_stage(alone):
    with socket.socket(socket.AF_UNIX) as server, open(os.devnull, "w") as nowhere:
        ask(server, alone, [nowhere.fileno()], request(), {"signal": signal.SIGINT})
        replies = server.makefile("rb")
        assert client._read(replies).get("forked")
        assert client._read(replies) == {"code": INTERRUPTED}


def test_output_on_a_full_disk_is_a_failure(world):
    with open("/dev/full", "w") as full:
        code, _, err = world.run("print(1)", stdout=full)
    assert code == 1
    assert "No space left on device" in err
