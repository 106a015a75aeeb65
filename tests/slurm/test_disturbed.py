"""What clusters and users do to a running benchmark, one after the other on a real Slurm: the same bytes as without."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.slurm.clone import BASE_TO_NEW, VARIANTS, Clone
from tests.slurm.cluster import GPU_MODEL, Cluster
from tests.slurm.conftest import EXACT

pytestmark = pytest.mark.slurm

WAIT = 300.0
SCARCE = (
    "(150 if wildcards.variant == 'clip' else 4000) * attempt ** 4"  # MB; two Snakemakes and torch need more than 150
)
HUNG = "(wildcards.dataset, wildcards.variant) == ('second', 'cocoop')"


class Training:
    """One training of the disturbed clone: its Slurm jobs, process, files and log."""

    def __init__(self, clone: Clone, cluster: Cluster, dataset: str, variant: str) -> None:
        self.clone, self.cluster = clone, cluster
        self.group = f"run_tiny_{dataset}_base_{variant}_shots4"
        self.run = f"tiny/{dataset}/base/{variant}/shots4/seeds1-2/{clone.run_of(dataset, variant).identity}"
        self.folder = clone.folder / "results/runs" / self.run

    def jobs(self) -> list[dict[str, str]]:
        return self.cluster.submitted(self.clone.folder, self.group)

    def states(self) -> list[str]:
        return [job["JobState"] for job in self.jobs()]

    def wait(self, ready: Callable[[], Any], what: str) -> Any:
        return self.cluster.wait(ready, f"{what} of {self.run}", WAIT)

    def wait_for(self, *states: str) -> None:
        self.wait(lambda: self.states() == list(states), f"jobs that are {', '.join(states)}")

    def written(self) -> int:
        """When its checkpoint was written, in ns; 0 if there is none."""
        checkpoint = self.folder / "checkpoint.safetensors"
        return checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0

    def stopped(self, since: int = 0) -> int | None:
        """Its process, stopped, once it has written a checkpoint later than `since`: it now lasts until let go or killed."""
        process = self.clone.process("train", f"results/runs/{self.run}") if self.written() > since else None
        if process:
            os.kill(process, signal.SIGSTOP)
        return process

    def client(self) -> int:
        found = self.clone.client("train", f"results/runs/{self.run}")
        assert found
        return found

    def continued(self) -> bool:
        """Whether the latest attempt found epochs in a checkpoint."""
        log = self.clone.folder / f"results/logs/train/{self.run}.log"
        return log.exists() and re.search(r"continuing after [1-9]\d* of", log.read_text()) is not None

    def files(self) -> dict[Path, int]:
        """Times of its files."""
        return {path: path.stat().st_mtime_ns for path in self.folder.rglob("*.*")}


@pytest.fixture
def clone(make_clone) -> Clone:
    """Asks for GPUs with --gpus for images and with --gres for runs; too little memory for CLIP, a minute for one training."""
    clone = make_clone("disturbed", {"variants": VARIANTS, "experiments": {"base_to_new": BASE_TO_NEW}})
    gres = {"gpu": 0, "gres": f"'gpu:{GPU_MODEL}:1'"}
    train = {"mem_mb": 4000, "runtime": f"(1 if {HUNG} else 45) * attempt ** 2"}
    evaluate = {"mem_mb": SCARCE, "runtime": f"0 if {HUNG} else 15"}
    clone.edit_profile({"train": gres | train, "evaluate": gres | evaluate})
    return clone


def test_disturbances_change_no_byte(cluster, clone, expected):
    """Preemption, scancel, a time limit, too little memory, a drained node, Ctrl-C and SIGKILL of the head: the same results."""
    first, drained, hung, other = (
        Training(clone, cluster, dataset, variant)
        for dataset, variant in (("first", "coop"), ("first", "cocoop"), ("second", "cocoop"), ("second", "coop"))
    )
    cluster.drain()
    head = clone.snakemake()
    cluster.wait(lambda: clone.status()["queued"] == 4, "both datasets' test features and views", WAIT)
    assert {job["JobState"] for job in cluster.submitted(clone.folder)} == {"PENDING"}
    cluster.resume()
    held = hold(first, drained, hung, other)
    assert clone.status()["running"] >= 1
    sees_its_gpu(first)
    is_forked_in_the_batch_step(held[first])

    since = first.written()
    cluster.run("scontrol", "requeue", first.jobs()[0]["JobId"])  # what a preemption does
    first.wait(lambda: first.stopped(since), "another checkpoint")
    assert first.continued()
    cluster.run("scancel", first.jobs()[0]["JobId"])
    first.wait_for("CANCELLED", "COMPLETED")
    assert first.continued()
    assert first.jobs()[0]["Restarts"] == "1"

    cluster.drain()
    cluster.run("scontrol", "requeue", other.jobs()[0]["JobId"])
    other.wait_for("PENDING")
    os.kill(held[drained], signal.SIGCONT)
    drained.wait_for("COMPLETED")
    assert cluster.node_state().startswith("dr")
    other.wait_for("PENDING")
    since = other.written()
    cluster.resume()
    other.wait(lambda: other.stopped(since), "the job that waited for the node")

    hung.wait_for("TIMEOUT", "COMPLETED")
    assert [job["TimeLimit"] for job in hung.jobs()] == ["00:01:00", "00:04:00"]
    assert hung.continued()
    needed_memory(cluster, clone)

    os.killpg(head.pid, signal.SIGINT)
    assert head.wait(60) != 0
    other.wait_for("CANCELLED")
    seen = clone.status()
    assert seen["failed"] == seen["running"] == seen["queued"] == 0
    assert seen["left"] > 1
    finished = {run: (run.files(), len(run.jobs())) for run in (first, drained, hung)}

    since = other.written()
    head = clone.snakemake()
    other.wait(lambda: other.stopped(since), "a training of the second head")
    head.kill()  # the login node reboots: a lock stays, and jobs that nobody waits for
    head.wait()
    assert other.states()[-1] == "RUNNING"
    start_again_as_documented(cluster, clone)

    assert other.states() == ["CANCELLED", "CANCELLED", "COMPLETED"]
    assert {run: (run.files(), len(run.jobs())) for run in finished} == finished
    seen = clone.status()
    assert seen["done"] == sum(seen.values())
    jobs = cluster.submitted(clone.folder)
    assert {job["JOB_GRES"] for job in jobs} == {f"gpu:{GPU_MODEL}:1"}
    asked = [(job.get("TresPerJob"), job.get("TresPerNode")) for job in jobs]
    assert set(asked) == {("gres:gpu:1", None), (None, f"gres:gpu:{GPU_MODEL}:1")}
    assert len(expected) == 2 * (2 + 4 + 4)
    assert clone.results(*EXACT) == expected


def hold(*trainings: Training) -> dict[Training, int]:
    """Stops the process of each at its first checkpoint; the processes."""
    held: dict[Training, int] = {}

    def all_held() -> bool:
        for training in trainings:
            if training not in held and (process := training.stopped()):
                held[training] = process
        return len(held) == len(trainings)

    trainings[0].wait(all_held, "and of others: the first checkpoint")
    return held


def sees_its_gpu(training: Training) -> None:
    """The process that Snakemake started, below two Snakemakes and srun; its fork gets its variables."""
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_STEP_GPUS"):
        assert re.search(rf"(^|\0){name}=\d\0", environment_of(training.client())), name


def is_forked_in_the_batch_step(process: int) -> None:
    """Its server is not of the job step of one stage, with which it would be killed."""
    server = environment_of(process)  # a fork shows that of its server
    assert "SLURM_JOB_ID=" in server
    assert "SLURM_STEP_ID=" not in server


def environment_of(process: int) -> str:
    return Path(f"/proc/{process}/environ").read_text()


def needed_memory(cluster: Cluster, clone: Clone) -> None:
    """CLIP's job was killed for its memory (slurmd says so; this Slurm calls the job itself FAILED), and the next got more."""
    jobs = cluster.submitted(clone.folder, "second_all_clip")
    assert [(job["MinMemoryNode"], job["JobState"]) for job in jobs] == [("150M", "FAILED"), ("2400M", "COMPLETED")]
    said = (cluster.folder / "slurmd.log").read_text()
    assert re.search(rf"StepId={jobs[0]['JobId']}\.\w+ exceeded memory limit \(\d+ > {150 * 2**20}\)", said)


def start_again_as_documented(cluster: Cluster, clone: Clone) -> None:
    """docs/cluster.md, the row about a login node that reboots: the plain command is refused, scancel and --unlock help."""
    assert clone.snakemake().wait(WAIT) != 0
    assert "--unlock" in clone.log()[-3000:]
    running = [job["JobId"] for job in cluster.submitted(clone.folder) if job["JobState"] == "RUNNING"]
    cluster.run("scancel", *running)
    cluster.wait(lambda: not cluster.run("squeue", "--noheader", "--jobs", ",".join(running)), "their end", WAIT)
    assert clone.snakemake("--unlock").wait(WAIT) == 0
    assert clone.snakemake().wait(WAIT) == 0, clone.log()
