"""Jobs on a machine with several GPUs: each takes a free place on one. The GPUs are pretended, or listed by a fake nvidia-smi."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cocoop import gpus, io
from cocoop.cli.arguments import device
from cocoop.errors import UserError
from cocoop.planning.environment import JOBS_PER_GPU
from cocoop.reporting.records.cost import job_of
from tests import forked

FOUR = "a,b,c,d"
LISTED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-0000)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-0000)
  MIG 3g.20gb     Device  1: (UUID: MIG-cba663e8-0000)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-77aa0000-0000)
"""
JOB = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
from cocoop import gpus
card = gpus.take({places})
import os
print(card and card.value, os.environ.get(gpus.VISIBLE), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with four pretended GPUs, outside Slurm, and with its own folder for locks."""
    for name in (gpus.VISIBLE, "SLURM_JOB_ID", "SLURM_JOB_GPUS", JOBS_PER_GPU):
        monkeypatch.setenv(name, "")  # so that it is also restored if it was not set, and `take` sets it
        monkeypatch.delenv(name)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(gpus, "_taken", [])
    monkeypatch.setenv(gpus.PRETEND, FOUR)
    return monkeypatch


@pytest.fixture
def start(machine):
    """Starts a job that takes a GPU and keeps it; all jobs are killed at the end."""
    jobs: list[subprocess.Popen] = []

    def started(places: int = 1, **environment: str) -> subprocess.Popen:
        command = [sys.executable, "-c", JOB.format(places=places)]
        jobs.append(
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(io.REPOSITORY), **environment},
            )
        )
        return jobs[-1]

    yield started
    for job in jobs:
        job.kill()
        job.communicate()


def card_of(job: subprocess.Popen) -> str:
    """The GPU of a job, once it has one, which is also the only one that it sees."""
    card, visible = job.stdout.readline().split()
    assert visible == card
    return card


def nvidia_smi(machine, folder: Path, text: str) -> None:
    """Lets nvidia-smi list these GPUs."""
    machine.delenv(gpus.PRETEND)
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\n")
    program.chmod(0o755)
    machine.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_four_jobs_at_once_take_four_gpus(start):
    assert {card_of(job) for job in [start() for _ in range(4)]} == set(FOUR.split(","))


def test_eight_jobs_share_four_gpus_two_by_two(start):
    jobs = [start(2) for _ in range(8)]
    assert Counter(map(card_of, jobs)) == dict.fromkeys(FOUR.split(","), 2)
    assert "GPU: " in jobs[0].stderr.readline()


def test_a_killed_job_leaves_its_gpu_to_a_waiting_one(start):
    jobs = {card_of(job): job for job in [start() for _ in range(4)]}
    waiting = start()
    assert waiting.stderr.readline() == (
        "waiting for a GPU: each of 4 has one job; "
        "`snakemake --resources gpu=4` starts no more jobs than there is room for\n"
    )
    jobs["c"].send_signal(signal.SIGKILL)
    assert card_of(waiting) == "c"


def test_the_emptiest_gpu_comes_first(start):
    jobs = [start(2, **{gpus.PRETEND: "a,b"}) for _ in range(4)]
    cards = [card_of(job) for job in jobs]
    for job, card in zip(jobs, cards, strict=True):
        if card == "b" or job is jobs[cards.index("a")]:  # one place of a is free, and both of b
            job.kill()
            job.wait()
    assert card_of(start(2, **{gpus.PRETEND: "a,b"})) == "b"


@pytest.mark.parametrize(
    ("outer", "seen"),
    [
        (None, ["MIG-c6d4f1ef-0000", "MIG-cba663e8-0000", "GPU-77aa0000-0000"]),
        ("1,0", ["1", "0"]),
        ("GPU-77aa", ["GPU-77aa"]),
        ("MIG-cba663e8-0000", ["MIG-cba663e8-0000"]),
        ("1,7,0", ["1"]),
        ("1,-1,0", ["1"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_the_outer_choice_of_gpus_is_respected(outer, seen, machine, tmp_path):
    nvidia_smi(machine, tmp_path, LISTED)
    if outer is not None:
        machine.setenv(gpus.VISIBLE, outer)
    assert [card.value for card in gpus.visible()] == seen
    taken = gpus.take(1)
    assert (taken and taken.value) == (seen[0] if seen else None)
    assert os.environ.get(gpus.VISIBLE) == (seen[0] if seen else outer)


def test_an_index_and_a_uuid_are_the_same_gpu(machine, tmp_path):
    nvidia_smi(machine, tmp_path, LISTED)
    machine.setenv(gpus.VISIBLE, "1")
    (by_index,) = gpus.visible()
    machine.setenv(gpus.VISIBLE, "GPU-77")
    (by_uuid,) = gpus.visible()
    assert by_index.uuid == by_uuid.uuid == "GPU-77aa0000-0000"
    assert str(by_index) == "1 (NVIDIA A100-SXM4-40GB)"


def test_a_machine_without_gpus_is_left_alone(machine, tmp_path):
    nvidia_smi(machine, tmp_path, "")
    assert gpus.take(1) is None
    assert gpus.VISIBLE not in os.environ
    assert list(tmp_path.glob("cocoop-gpus*")) == []


def test_the_gpu_that_slurm_gave_is_taken_as_it_is(start):
    """Two jobs of a node whose Slurm hides the other GPUs both see number 0, and do not wait for each other."""
    one = {gpus.VISIBLE: "0", gpus.PRETEND: "a"}
    for job in [start(SLURM_JOB_ID=number, **one) for number in ("7", "8", "8")]:
        assert job.stdout.readline() == "None 0\n"
    several = [start(SLURM_JOB_ID=number, **{gpus.VISIBLE: "0,1"}) for number in ("7", "7", "8", "8")]
    assert Counter(map(card_of, several)) == {"0": 2, "1": 2}


def test_a_process_takes_one_gpu_only(machine):
    assert gpus.take(1).value == "a"
    machine.setenv(gpus.VISIBLE, FOUR)
    assert gpus.take(1) is None


def test_a_folder_that_cannot_be_used_is_one_line(machine, tmp_path):
    (tmp_path / f"cocoop-gpus-{os.getuid()}").write_text("a file")
    with pytest.raises(UserError, match=r"cannot be made \(File exists\).*set TMPDIR"):
        gpus.take(1)


def test_a_number_of_jobs_that_is_none_is_one_line(machine):
    machine.setenv(JOBS_PER_GPU, "two")
    with pytest.raises(UserError, match="environment: COCOOP_JOBS_PER_GPU: expected an integer >= 1, got 'two'"):
        device()


@pytest.mark.slow
def test_a_benchmark_on_four_gpus_names_them(machine, tmp_path):
    """In the log of each job that computes, and in its cost."""
    config = {"experiments": [{"base_to_new": {"train_datasets": ["digits", "letters"], "variants": ["clip"]}}]}
    (tmp_path / "mine.yaml").write_text(json.dumps(config | {"jobs_per_gpu": 2}))
    snakefile = str(io.REPOSITORY / "workflow" / "Snakefile")
    done = forked.snakemake(
        "--snakefile", snakefile, "--cores", "4", "--resources", "gpu=8", "--configfile", "mine.yaml", folder=tmp_path
    )
    assert done.returncode == 0, done.stderr[-4000:]
    costs = list((tmp_path / "results" / "runs").rglob("cost.json"))
    assert len(costs) == 2
    for path in costs:
        assert job_of(path).stage == "evaluate"
        card = io.read_json(path, "cost")["card"]
        assert card in FOUR.split(",")
    logs = [path for stage in ("features", "evaluate") for path in (tmp_path / "results/logs" / stage).rglob("*.log")]
    assert len(logs) == 4
    for log in logs:
        assert "COCOOP_JOBS_PER_GPU=2" in log.read_text()
        assert any(line.startswith("GPU: ") and line.endswith("of 2") for line in log.read_text().splitlines())
