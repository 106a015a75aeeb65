"""Stages as forks of a server: the same as processes of their own, whatever is killed. Real servers, of a stand-in for `cocoop`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cocoop.errors import INTERRUPTED, INTERRUPTION
from cocoop.forkserver import client, libraries
from tests.forkserver.world import NO_SERVER, SECONDS, STAGE, alive, eventually, parent_of


@pytest.mark.parametrize(
    "code, expected",
    [
        ("print('out'); print('err', file=sys.stderr); sys.exit(5)", (5, "out\n", "err\n")),
        ("sys.exit('a message')", (1, "", "a message\n")),
        ("print(sys.argv[1], __name__)", (0, f"{STAGE} __main__\n", "")),
        ("import os; print(os.getcwd() == sys.path[0], 'COCOOP_FORKSERVER' in os.environ)", (0, "True False\n", "")),
        ("import atexit; atexit.register(print, 'at the end')", (0, "at the end\n", "")),
        ("import signal, os; os.kill(os.getpid(), signal.SIGSEGV)", (-signal.SIGSEGV, "", "")),
        ("import signal, os; os.kill(os.getpid(), signal.SIGKILL)", (-signal.SIGKILL, "", "")),
    ],
)
def test_outputs_and_exit_codes_are_those_of_a_process(world, code, expected):
    assert world.run(code) == expected


def test_a_traceback_is_the_one_of_a_process(world):
    code, _, err = world.run("1 / 0")
    assert code == 1
    assert err.startswith("Traceback") and err.endswith("ZeroDivisionError: division by zero\n")


def test_a_stage_reads_stdin_and_other_files(world):
    reading, writing = os.pipe()
    os.write(writing, b"other")
    os.close(writing)
    with open(world.folder / "in", "w+") as file:
        file.write("input")
        file.seek(0)
        found = world.run(f"print(sys.stdin.read(), open('/dev/fd/{reading}').read())", stdin=file, pass_fds=[reading])
    os.close(reading)
    assert found == (0, "input other\n", "")


def test_the_umask_is_that_of_the_client(world):
    mask = os.umask(0o027)
    try:
        world.run("open('file', 'w')")
    finally:
        os.umask(mask)
    assert (world.folder / "file").stat().st_mode & 0o777 == 0o640


def test_many_clients_share_one_server(world):
    parents = [world.start("import os; print(os.getppid())") for _ in range(8)]
    assert len({process.communicate(timeout=SECONDS)[0] for process in parents}) == 1


def test_other_variables_get_another_server(world):
    threads = "import os; print(os.environ['OMP_NUM_THREADS'], os.getppid())"
    one, two = (world.run(threads, environment={"OMP_NUM_THREADS": number})[1].split() for number in "12")
    assert (one[0], two[0]) == ("1", "2")
    assert one[1] != two[1]


def test_steps_of_a_slurm_job_share_a_server_and_keep_their_variables(world):
    code = "import os; print(os.environ['SLURM_STEP_ID'], os.environ['CUDA_VISIBLE_DEVICES'], os.getppid())"
    said = [
        world.run(code, environment={"SLURM_STEP_ID": step, "CUDA_VISIBLE_DEVICES": card})[1].split()
        for step, card in (("0", "3"), ("1", "5"))
    ]
    assert [words[:2] for words in said] == [["0", "3"], ["1", "5"]]
    assert said[0][2] == said[1][2]


def test_a_server_that_is_started_ahead_has_imported_the_libraries(world):
    ahead = [sys.executable, "-P", "-c", f"from cocoop.forkserver import client; client.start({STAGE!r})"]
    before = world.servers()
    subprocess.run(ahead, cwd=world.folder, env=world.environment(), check=True, timeout=SECONDS)
    (server,) = {*world.servers()} - {*before}
    assert eventually(lambda: "/pandas/" in Path(f"/proc/{server}/maps").read_text())
    assert world.run("import os; print(os.getppid())")[1] == f"{server}\n"


def test_a_download_runs_by_itself_while_a_server_starts(alone):
    assert alone.run("", stage=next(iter(libraries.AHEAD)))[0] == NO_SERVER
    (server,) = alone.servers()
    assert eventually(lambda: "/torch/lib/" in Path(f"/proc/{server}/maps").read_text())
    alone.end()
    assert eventually(lambda: not alive(server))


def test_changed_code_is_used_by_the_next_stage(world):
    (world.folder / "changing.py").write_text("VALUE = 1")
    assert world.run("import changing; print(changing.VALUE)")[1] == "1\n"
    (world.folder / "changing.py").write_text("VALUE = 'two'")
    assert world.run("import changing; print(changing.VALUE)")[1] == "two\n"


def test_an_interrupt_does_not_wait_for_a_server_that_imports(alone):
    process, server = alone.asking()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=SECONDS) == INTERRUPTED
    os.kill(server, signal.SIGCONT)
    said = process.communicate(timeout=SECONDS)  # until the stage has ended, too, which has the same pipes
    assert said == ("", f"{INTERRUPTION}\n")
    assert alone.run("print(2)")[1] == "2\n"


def test_an_interrupt_reaches_the_stage_and_its_processes(world):
    starts = "import subprocess; print(subprocess.Popen(['sleep', '1000']).pid, flush=True)"
    waits = f"try:\n    {starts}; time.sleep(1000)\nexcept KeyboardInterrupt:\n    print('cleaned up'); sys.exit(130)"
    process, _ = world.waiting(waits)
    other = int(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=SECONDS)[0] == "cleaned up\n"
    assert process.returncode == 130
    assert eventually(lambda: not alive(other))


def test_a_termination_ends_both(world):
    process, stage = world.waiting()
    process.terminate()
    assert process.wait(SECONDS) == -signal.SIGTERM
    assert not alive(stage)


def test_a_signal_that_the_client_ignores_is_ignored(world):
    process, stage = world.waiting(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 1  # by the interrupt, without a handler in the stand-in
    assert "KeyboardInterrupt" in process.stderr.read()
    assert not alive(stage)


def test_a_killed_client_takes_its_stage_along(world):
    process, stage = world.waiting("import subprocess; print(subprocess.Popen(['sleep', '1000']).pid, flush=True)")
    other = int(process.stdout.readline())
    process.kill()
    assert eventually(lambda: not alive(stage) and not alive(other))
    assert world.run("print('still there')")[1] == "still there\n"


def test_a_killed_server_takes_its_stages_along(world):
    process, stage = world.waiting()
    server = parent_of(stage)
    os.kill(server, signal.SIGKILL)
    assert process.wait(SECONDS) == -signal.SIGKILL
    assert eventually(lambda: not alive(stage))
    later = []  # the first may still connect to the dying server, and is then told to run without one
    assert eventually(lambda: later.append(world.run("import os; print(os.getppid())")) or later[-1][0] != NO_SERVER)
    assert later[-1][0] == 0 and later[-1][1] != f"{server}\n"


def test_a_killed_head_leaves_running_stages_alone(alone):
    process = alone.start("print('begun', flush=True); print(sys.stdin.read())", stdin=subprocess.PIPE)
    assert process.stdout.readline() == "begun\n"
    alone.end()
    assert eventually(lambda: not list(alone.tmp.iterdir()))
    assert alone.run("")[0] == NO_SERVER
    assert process.communicate("finished", timeout=SECONDS)[0] == "finished\n"
    assert process.returncode == 0
    assert eventually(lambda: not alone.servers())


@pytest.mark.parametrize("environment", [{client.VARIABLE: ""}, {"TMPDIR": "/nowhere"}, {client.VARIABLE: "999999999"}])
def test_without_a_server_the_process_runs_the_stage(world, environment):
    assert world.run("", environment=environment)[0] == NO_SERVER


def test_other_stages_run_in_their_own_process(world):
    assert world.run("", stage="experiment")[0] == NO_SERVER


def test_a_folder_that_others_can_write_is_not_used(tmp_path_factory, monkeypatch):
    tmp_path = tmp_path_factory.mktemp("t")  # with a short name
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder = client._folder("1")
    assert folder is not None
    folder.chmod(0o777)
    assert client._folder("1") is None
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("long" * 30)))
    (tmp_path / ("long" * 30)).mkdir()
    assert client._folder("1") is None
    assert not list((tmp_path / ("long" * 30)).iterdir())
