"""What killed servers leave in the folder for temporary files goes away with their Snakemake."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cocoop.forkserver import client, server
from cocoop.io import REPOSITORY
from tests import forked
from tests.forkserver.world import eventually

# A `python` that leaves what a killed server leaves, and makes a job's output or fails.
PYTHON = """#!/bin/sh
folder="$TMPDIR/cocoop-$(id -u)-$COCOOP_FORKSERVER-0123456789ab"
mkdir "$folder" && touch "$folder/lock" && echo "$folder" > left
for out; do :; done
test -e fail && exit 1
echo "{}" > "$out"
"""


def test_a_killed_server(alone, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(alone.tmp))
    other = alone.tmp / client._named("1", "0123456789ab")
    other.mkdir()
    assert alone.run("")[0] == 0
    (running,) = {*alone.tmp.iterdir()} - {other}
    client.tidy(alone.head.pid)
    assert running.exists()  # with its server
    (process,) = alone.servers()
    os.kill(process, signal.SIGKILL)
    assert eventually(lambda: client.tidy(alone.head.pid) or not running.exists())  # a dying one may still listen
    assert other.exists()


def test_a_server_without_a_head(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "lock").touch()
    subprocess.run([sys.executable, "-P", server.__file__, str(folder), "999999999", "tables"], check=True)
    assert not folder.exists()


@pytest.mark.parametrize("ending", ["good", "bad"])
def test_the_end_of_snakemake(tmp_path, ending):
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "python").write_text(PYTHON)
    (programs / "python").chmod(0o755)
    if ending == "bad":
        (tmp_path / "fail").touch()
    done = forked.snakemake(
        "--snakefile", str(REPOSITORY / "workflow/Snakefile"), "--cores", "1", "--until", "configuration", folder=tmp_path,
        PATH=os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]),
    )  # fmt: skip
    assert (done.returncode == 0) == (ending == "good"), done.stderr
    assert not Path((tmp_path / "left").read_text().strip()).exists()
