"""Slurm's programs as shell scripts that give fixed answers, and Snakemake on a PATH without any other Slurm."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from cocoop.io import REPOSITORY
from tests import forked

PROGRAMS = {"sacct", "sacctmgr", "salloc", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun", "sshare"}
ANSWERS = {
    "sbatch": "echo 'sbatch: error: this test expects no submission' >&2; exit 1",
    "sinfo": (
        """case "$*" in *%G*) echo 'gpu*|4|gpu:a100:4(S:0-1),gpu:h100:2'; echo 'cpu|9|(null)'; echo 'cloud|0|(null)';;\n"""
        """*) echo 'gpu*'; echo cpu; echo cloud;; esac"""
    ),
    "sacctmgr": "echo ' lab '; echo ' project '",
    **dict.fromkeys(("sacct", "squeue", "sshare", "scontrol", "scancel"), "exit 0"),
}
SMALL = ("--snakefile", f"{REPOSITORY}/workflow/Snakefile", "--configfile", "small.yaml")
CONFIGURATION = {
    "data_root": "data", "offline": False, "backbone": "tiny", "device": "cpu", "seeds": [4], "seeds_per_job": 1,
    "views": "plain", "text_budget_mb": 1024, "image_states_mb": 0, "variants": {"coop": {"training": {"epochs": 1}}},
    "experiments": {"base_to_new": {"train_datasets": ["shapes"], "variants": ["coop"], "shots": [1]}},
}  # fmt: skip


def other_programs(folder: Path) -> Path:
    """The folder, filled with links to all programs of PATH but Slurm's."""
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).glob("*"):
            if program.name not in PROGRAMS and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return folder


class FakeSlurm:
    """A working folder with a small configuration; `answer` and `remove` change Slurm's programs."""

    def __init__(self, folder: Path, others: Path) -> None:
        """others: result of `other_programs`."""
        self.folder, self.programs = folder / "work", folder / "slurm"
        for path in (self.folder, self.programs):
            path.mkdir()
        self.path = os.pathsep.join([str(self.programs), str(Path(sys.executable).parent), str(others)])
        (self.folder / "small.yaml").write_text(yaml.safe_dump(CONFIGURATION))
        for name, script in ANSWERS.items():
            self.answer(name, script)

    def answer(self, name: str, script: str) -> None:
        program = self.programs / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def remove(self, *names: str) -> None:
        for name in names:
            (self.programs / name).unlink()

    def without_slurm(self, *targets: str) -> None:
        """Makes targets here."""
        done = forked.snakemake(*SMALL, "--cores", "1", "--", *targets, folder=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr

    def snakemake(self, *options: str) -> tuple[int, str]:
        """Exit code and output of `snakemake --profile slurm` with the small configuration and a profile of the site."""
        done = forked.snakemake(
            *SMALL, "--profile", f"{self.folder}/site", "--slurm-init-seconds-before-status-checks", "1",
            "--latency-wait", "1", *options, folder=self.folder, PATH=self.path,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def status(self) -> str:
        """What `python -m cocoop status` says."""
        environment = {**os.environ, "PATH": self.path, "PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, "-m", "cocoop", "status", "--configfile", "small.yaml"]
        return subprocess.run(command, cwd=self.folder, env=environment, text=True, capture_output=True).stdout

    def edit_profile(self, status_command: str | None = None, **default: str) -> None:
        """Writes the site's profile: the one of the repository, with these default resources."""
        profile = yaml.safe_load((REPOSITORY / "slurm/profile.yaml").read_text())
        profile["default-resources"] |= default
        if status_command:
            profile["slurm-status-command"] = status_command
        (self.folder / "site").mkdir(exist_ok=True)
        (self.folder / "site/profile.yaml").write_text(yaml.safe_dump(profile))
