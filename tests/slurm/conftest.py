"""A cluster, and copies of the repository with two tiny datasets to run on it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cocoop import io
from tests.slurm.cluster import Cluster, missing

CLASSES = ("red square", "green square", "blue square", "grey square")
COLOURS = ((200, 40, 40), (40, 180, 60), (50, 60, 200), (128, 128, 128))
IMAGES, SIDE = 20, 64
SITE = (  # what this cluster differs in from one with accounting, and no waiting for a busy network
    "--slurm-status-command", "squeue", "--slurm-no-account", "--slurm-init-seconds-before-status-checks", "1",
    "--set-threads", "features=1", "views=1", "train=1", "evaluate=1", "--latency-wait", "20",
)  # fmt: skip
CONFIGURATION = {
    "data_root": "data", "offline": True, "backbone": "tiny", "device": "cpu", "seeds": [1, 2], "seeds_per_job": 2,
    "views": 2, "text_budget_mb": 256,
}  # fmt: skip


@pytest.fixture(scope="session")
def cluster():
    """A running cluster; skips where Slurm is not installed."""
    if lacking := missing():
        pytest.skip(f"Slurm is not installed ({', '.join(lacking)})")
    with Cluster() as running:
        yield running


class Clone:
    """A copy of what a clone of the repository holds, with datasets `first` and `second`, and Snakemake started in it."""

    def __init__(self, folder: Path, cluster: Cluster | None, content: dict) -> None:
        self.folder, self.cluster = folder, cluster
        for name in ("cocoop", "config", "workflow", "slurm"):
            shutil.copytree(io.REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(io.REPOSITORY / "environment.yml", folder)
        module = folder / "cocoop/training/run.py"  # so that a training of seconds has a checkpoint to continue from
        module.write_text(module.read_text().replace("CHECKPOINTS = 30.0", "CHECKPOINTS = 1.0"))
        (folder / "small.yaml").write_text(yaml.safe_dump(CONFIGURATION | content))
        for seed, name in enumerate(("first", "second")):
            _draw(folder / "pictures" / name, seed)
            split = {"train": 0.5, "val": 0.2, "test": 0.3, "seed": 1}
            dataset = {
                "title": name.title(), "template": "a photo of a {}.", "link": str(folder / "pictures" / name), "classes": 4,
                "sizes": {"test": 24},
                "reader": {"kind": "image_folder", "split": split, "names": list(CLASSES)},
            }  # fmt: skip
            (folder / f"config/datasets/{name}.yaml").write_text(yaml.safe_dump(dataset))

    def snakemake(self, *arguments: str) -> subprocess.Popen:
        """`snakemake --profile slurm` with the small configuration, in a session of its own."""
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--profile",
            "slurm",
            "--configfile",
            "small.yaml",
            *SITE,
            *arguments,
        ]
        environment = (self.cluster.environment if self.cluster else os.environ) | {"OMP_NUM_THREADS": "1"}
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        with (self.folder / "head.log").open("a") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def log(self) -> str:
        """Everything the heads have said so far."""
        return (self.folder / "head.log").read_text()

    def results(self, *names: str) -> dict[str, bytes]:
        """Bytes of all files of these names below results/runs, by relative path."""
        root = self.folder / "results/runs"
        return {str(path.relative_to(root)): path.read_bytes() for name in names for path in sorted(root.rglob(name))}


def _draw(folder: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    for name, colour in zip(CLASSES, COLOURS, strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(IMAGES):
            noisy = np.clip(np.array(colour) + generator.normal(0, 40, (SIDE, SIDE, 3)), 0, 255)
            Image.fromarray(noisy.astype(np.uint8)).save(folder / name / f"{number:02}.png")
