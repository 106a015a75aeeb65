"""What a clone of the repository holds, with two tiny datasets, and `snakemake --profile slurm` in it."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from cocoop.planning.files import plan_of
from cocoop.run import Run
from tests import forked
from tests.slurm.cluster import Cluster, die_with_parent

CLASSES = ("red square", "green square", "blue square", "grey square")
COLOURS = ((200, 40, 40), (40, 180, 60), (50, 60, 200), (128, 128, 128))
IMAGES, SIDE = 20, 64
SITE = (  # what this cluster differs in from one with accounting, and no waiting for a busy network
    "--slurm-status-command", "squeue", "--slurm-no-account", "--slurm-init-seconds-before-status-checks", "1",
    "--latency-wait", "20",
)  # fmt: skip
THREADS = ("--set-threads", "features=2", "views=2", "train=1", "evaluate=1")
CONFIGURATION = {
    "data_root": "data", "offline": True, "backbone": "tiny", "device": "cpu", "seeds": [1, 2], "seeds_per_job": 2,
    "views": 2, "text_budget_mb": 256, "image_states_mb": 0, "forkserver": True,
}  # fmt: skip
VARIANTS = {  # some seconds each on one core
    "coop": {"training": {"epochs": 150, "batch_size": 2}},
    "cocoop": {"training": {"epochs": 20}},
}
BASE_TO_NEW = {"train_datasets": ["first", "second"], "variants": ["clip", "coop", "cocoop"], "shots": [4]}


def _fork_of(client: Path) -> int | None:
    """The process that the fork server forked for a client, which writes to the same log (cocoop/forkserver)."""
    log = (client / "fd/1").readlink()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"forkserver/server.py" in (entry / "cmdline").read_bytes() and (entry / "fd/1").readlink() == log:
                return int(entry.name)
        except OSError:  # it has just ended
            continue
    return None


def copy_code(source: Path, target: Path) -> None:
    """The parts of a repository that a run needs."""
    for name in ("cocoop", "config", "workflow", "slurm"):
        shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(source / "environment.yml", target)


class Clone:
    """A working folder with the code of `source`, datasets `first` and `second`, and a small configuration."""

    def __init__(self, folder: Path, source: Path, cluster: Cluster, content: dict) -> None:
        self.folder, self.cluster = folder, cluster
        self.heads: list[subprocess.Popen] = []
        copy_code(source, folder)
        module = (
            folder / "cocoop/training/checkpoint.py"
        )  # so that a training of seconds has checkpoints to continue from
        module.write_text(_replaced(module.read_text(), "SECONDS_BETWEEN = 30.0", "SECONDS_BETWEEN = 0.5"))
        (folder / "small.yaml").write_text(yaml.safe_dump(CONFIGURATION | content))
        for seed, name in enumerate(("first", "second")):
            pictures = cluster.folder / "pictures" / name  # of all clones, so that their results have the same paths
            if not pictures.exists():
                _draw(pictures, seed)
            split = {"train": 0.5, "val": 0.2, "test": 0.3, "seed": 1}
            dataset = {
                "title": name.title(), "template": "a photo of a {}.", "link": str(pictures), "classes": 4,
                "sizes": {"test": 24},
                "reader": {"kind": "image_folder", "split": split, "names": list(CLASSES)},
            }  # fmt: skip
            (folder / f"config/datasets/{name}.yaml").write_text(yaml.safe_dump(dataset))

    def run_of(self, dataset: str, variant: str, shots: int = 4) -> Run:
        """A planned run."""
        with chdir(self.folder):
            runs = plan_of([Path("small.yaml")]).runs
        return next(run for run in runs if (run.dataset, run.variant, run.shots) == (dataset, variant, shots))

    def edit_profile(self, resources: dict[str, dict[str, object]], **default: str) -> None:
        """Sets resources of single rules and of all in slurm/profile.yaml, as a site does."""
        path = self.folder / "slurm/profile.yaml"
        profile = yaml.safe_load(path.read_text())
        profile["default-resources"] |= default
        for rule, changes in resources.items():
            profile["set-resources"][rule] |= changes
        path.write_text(yaml.safe_dump(profile))

    def snakemake(self, *arguments: str) -> subprocess.Popen:
        """`snakemake --profile slurm` with the small configuration, in a session of its own."""
        command = [*forked.SNAKEMAKE, "--profile", "slurm", "--configfile", "small.yaml", *SITE, *THREADS]
        path = f"{Path(sys.executable).parent}:{self.cluster.environment['PATH']}"
        with (self.folder / "head.log").open("a") as log:
            head = subprocess.Popen(
                [*command, *arguments], cwd=self.folder, stdout=log, stderr=log, start_new_session=True,
                env=self.cluster.environment | {"OMP_NUM_THREADS": "1", "PATH": path}, preexec_fn=die_with_parent,
            )  # fmt: skip
        self.heads.append(head)
        return head

    def without_slurm(self, *targets: str) -> None:
        """Makes targets with Snakemake alone: no profile, no groups, each stage a job of its own."""
        command = ["--cores", "2", "--configfile", "small.yaml", *THREADS, "--", *targets]
        done = forked.snakemake(*command, folder=self.folder, OMP_NUM_THREADS="1")
        assert done.returncode == 0, done.stderr[-3000:]

    def status(self) -> dict[str, int]:
        """Jobs by state, of all stages together, as `python -m cocoop status` tells them."""
        command = [sys.executable, "-m", "cocoop", "status", "--configfile", "small.yaml"]
        environment = os.environ | {"PYTHONPATH": str(self.folder)}
        said = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=True
        ).stdout
        lines = [line.split() for line in said.splitlines()]
        states = next(words for words in lines if {"done", "running", "queued", "failed", "left"} <= set(words))[-5:]
        return dict(zip(states, map(int, next(words for words in lines if words[:1] == ["all"])[1:]), strict=True))

    def process(self, *words: str) -> int | None:
        """The process of a stage that runs in this folder, by words of its command line: its fork, if it is one."""
        client = self.client(*words)
        return client and (_fork_of(Path("/proc", str(client))) or client)

    def client(self, *words: str) -> int | None:
        """The process that Snakemake started for a stage."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes().decode().split("\0")
                if (
                    command[1:3] == ["-m", "cocoop"]
                    and set(words) <= set(command)
                    and (entry / "cwd").samefile(self.folder)
                ):
                    return int(entry.name)
            except OSError:  # it has just ended
                continue
        return None

    def stop(self) -> None:
        """Ends what a failed test left running."""
        for head in self.heads:
            if head.poll() is None:
                os.killpg(head.pid, signal.SIGKILL)
                head.wait()

    def log(self) -> str:
        """Everything the heads have said so far."""
        return (self.folder / "head.log").read_text()

    def results(self, *names: str) -> dict[str, bytes]:
        """Bytes of all files of these names below results/runs, by relative path."""
        root = self.folder / "results/runs"
        return {str(path.relative_to(root)): path.read_bytes() for name in names for path in sorted(root.rglob(name))}


def _replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def _draw(folder: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    for name, colour in zip(CLASSES, COLOURS, strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(IMAGES):
            noisy = np.clip(np.array(colour) + generator.normal(0, 40, (SIDE, SIDE, 3)), 0, 255)
            Image.fromarray(noisy.astype(np.uint8)).save(folder / name / f"{number:02}.png")
