"""How many jobs Slurm gets: the profile's groups applied to a plan's GPU jobs."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.planning.job import Job
from cocoop.run import Evaluation

PROFILE = io.REPOSITORY / "slurm" / "profile.yaml"


def submissions(jobs: Sequence[Job], profile: Path = PROFILE) -> int:
    """Slurm jobs for the GPU jobs among `jobs` under the profile's `groups` and `group-components`.

    Snakemake joins jobs of one group that depend on each other (a training and its tests) into a component, and
    `group-components` of these into one submission.
    """
    content = io.read_yaml(profile)
    names, most = content.get("groups", {}), content.get("group-components", {})
    components: dict[tuple[str, int], set[Any]] = {}
    alone = 0
    for job in jobs:
        if not job.needs_gpu:
            continue
        name = group_of(job, names)
        if name is None:
            alone += 1
            continue
        key = (name, most.get(names[job.stage.name], 1))
        components.setdefault(key, set()).add(_component(job))
    return alone + sum(math.ceil(len(found) / size) for (_, size), found in components.items())


def group_of(job: Job, names: Mapping[str, str]) -> str | None:
    """The group that the profile's `groups` put a job into; None for one that is submitted alone, or not at all."""
    return names[job.stage.name].format(**job.wildcards) if job.needs_gpu and job.stage.name in names else None


def _component(job: Job) -> Any:
    """What a job depends on within its group: a test on its training."""
    return job.about.run if isinstance(job.about, Evaluation) and job.about.run.trainable else job.about
