"""The number of Slurm jobs of a plan, according to the groups in the Slurm profile."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cocoop import io, places
from cocoop.planning.job import Job
from cocoop.run import Evaluation


def profile() -> Path:
    """The Slurm profile of the working folder, else the shipped one."""
    name = "slurm/profile.yaml"
    return next(iter(places.layers(name)), places.SHIPPED / name)


def submissions(jobs: Sequence[Job]) -> int:
    """Number of Slurm jobs that the profile's `groups` and `group-components` make of the GPU jobs among `jobs`.

    Snakemake combines jobs of one group that depend on each other (a training and its tests) into a component, and
    `group-components` components into one submission.
    """
    content = io.read_yaml(profile())
    names, most = content.get("groups", {}), content.get("group-components", {})
    components: dict[tuple[str, int], set[Any]] = {}
    ungrouped = 0
    for job in jobs:
        if not job.needs_gpu:
            continue
        name = group_of(job, names)
        if name is None:
            ungrouped += 1
            continue
        key = (name, most.get(names[job.stage.name], 1))
        components.setdefault(key, set()).add(_component(job))
    return ungrouped + sum(math.ceil(len(members) / size) for (_, size), members in components.items())


def group_of(job: Job, names: Mapping[str, str]) -> str | None:
    """The group of a job according to the profile's `groups`; None if it is submitted by itself, or not at all."""
    return names[job.stage.name].format(**job.wildcards) if job.needs_gpu and job.stage.name in names else None


def _component(job: Job) -> Any:
    """A key of the jobs that depend on each other within a group: a test has the key of its training."""
    return job.about.run if isinstance(job.about, Evaluation) and job.about.run.trainable else job.about
