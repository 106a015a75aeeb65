"""A Slurm cluster of one node with pretend GPUs, in a temporary folder: real munged, slurmctld and slurmd, no accounting."""

import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
START_SECONDS, STOP_SECONDS = 40.0, 15.0
# More than a small machine has, so that what the profile asks for fits.
CPUS, MEMORY_MB, GPUS = 16, 200_000, ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
GPU_MODEL = "pretend"

CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SchedulerParameters=sched_interval=1,bf_interval=2,sched_min_interval=100000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
MinJobAge=3600
KillWait=2
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{model}:{gpus} State=UNKNOWN
PartitionName=only Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """The programs a cluster needs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]


class Cluster:
    """Starts on `__enter__`, stops everything it started on `__exit__`. `environment` points Slurm's commands at it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm"))  # a short path: munge's socket takes 107 characters
        self.host = socket.gethostname().split(".")[0]
        self.configuration = self.folder / "slurm.conf"
        self.environment = {**os.environ, "PATH": f"{self.folder}:{_path()}", "SLURM_CONF": str(self.configuration)}
        self.daemons: list[subprocess.Popen] = []

    def __enter__(self) -> "Cluster":
        try:
            self._configure()
            self._start("munged", "--foreground", "--force", f"--key-file={self.folder}/munge.key",
                        f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munged.pid",
                        f"--log-file={self.folder}/munged.log", f"--seed-file={self.folder}/munged.seed")  # fmt: skip
            self.wait(lambda: (self.folder / "munge.socket").exists(), "munged")
            self._start("slurmctld", "-D")
            self._start("slurmd", "-D", "-N", self.host)
            self.wait(lambda: self.node_state().startswith("idle"), "the node")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _configure(self) -> None:
        (self.folder / "state").mkdir()
        (self.folder / "spool").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        controller_port, node_port = _free_ports(2)
        text = CONFIGURATION.format(
            folder=self.folder, host=self.host, user=getpass.getuser(), cpus=CPUS, memory=MEMORY_MB, gpus=len(GPUS),
            model=GPU_MODEL, controller_port=controller_port, node_port=node_port,
        )  # fmt: skip
        self.configuration.write_text(text)
        (self.folder / "gres.conf").write_text(
            "".join(f"NodeName={self.host} Name=gpu Type={GPU_MODEL} File={file}\n" for file in GPUS)
        )
        # Snakemake's job step clears SLURM_CONF from the environment of srun, which then looks in /etc alone.
        srun = self.folder / "srun"
        srun.write_text(f'#!/bin/sh\nexport SLURM_CONF={self.configuration}\nexec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)

    def _start(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("w") as out:
            daemon = subprocess.Popen(
                command,
                env=self.environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self.daemons.append(daemon)

    def wait(self, ready: Callable[[], Any], what: str, seconds: float = START_SECONDS) -> Any:
        """Polls until `ready` gives something true and returns it; fails with the daemons' logs otherwise."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := ready():
                return found
            time.sleep(0.2)
        logs = "\n".join(f"--- {path.name}\n{path.read_text()[-2000:]}" for path in self.folder.glob("*.log"))
        raise AssertionError(f"waited {seconds:.0f} s in vain for {what}\n{logs}")

    def run(self, *command: str) -> str:
        """Output of one of Slurm's commands."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        return done.stdout.strip()

    def node_state(self) -> str:
        return self.run("sinfo", "--noheader", "--format=%t")

    def jobs(self) -> list[dict[str, str]]:
        """Every job this cluster has seen, as `scontrol show job` tells it; JOB_GRES is what it got."""
        return [
            dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in self.run("scontrol", "--details", "--oneliner", "show", "job").splitlines()
            if line.startswith("JobId=")
        ]

    def submitted(self, folder: Path, group: str = "") -> list[dict[str, str]]:
        """Jobs of a working folder, oldest first; those of a group or rule (Snakemake writes its name into the comment) or all."""
        here = [job for job in self.jobs() if job["WorkDir"] == str(folder) and group in job["Comment"]]
        return sorted(here, key=lambda job: int(job["JobId"]))

    def drain(self) -> None:
        self.run("scontrol", "update", f"nodename={self.host}", "state=drain", "reason=test")

    def resume(self) -> None:
        self.run("scontrol", "update", f"nodename={self.host}", "state=resume")

    def stop(self) -> None:
        """Cancels what still runs, waits until it is gone, and stops the daemons it started."""
        if self.node_state():  # Slurm answers
            self.run("scancel", "--user", getpass.getuser())
            end = time.monotonic() + STOP_SECONDS
            while self.run("squeue", "--noheader") and time.monotonic() < end:
                time.sleep(0.2)
        for daemon in reversed(self.daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in self.daemons:
            try:
                daemon.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                daemon.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def die_with_parent() -> None:
    """For `preexec_fn`: no process outlives tests that were killed (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
