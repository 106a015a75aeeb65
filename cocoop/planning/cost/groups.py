"""How many jobs Slurm gets: the profile's groups applied to a plan's GPU jobs."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.planning import Block, Evaluation, Plan
from cocoop.planning.jobs import Job, Views

PROFILE = io.REPOSITORY / "slurm" / "profile.yaml"


def submissions(plan: Plan, jobs: Sequence[Job], profile: Path = PROFILE) -> int:
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
        name = group_of(plan, job, names)
        if name is None:
            alone += 1
            continue
        key = (name, most.get(names[job.stage], 1))
        components.setdefault(key, set()).add(_component(plan, job))
    return alone + sum(math.ceil(len(found) / size) for (_, size), found in components.items())


def group_of(plan: Plan, job: Job, names: Mapping[str, str]) -> str | None:
    """The group that the profile's `groups` put a job into; None for one that is submitted alone, or not at all."""
    return names[job.stage].format(**wildcards(plan, job)) if job.needs_gpu and job.stage in names else None


def wildcards(plan: Plan, job: Job) -> Mapping[str, Any]:
    """The wildcards of a job's rule that say what it is about."""
    block = job.what.block if isinstance(job.what, Evaluation) else job.what
    if isinstance(block, Block | Views):
        variant = {"variant": block.variant} if isinstance(block, Block) else {}
        return {
            "backbone": plan.backbone.name,
            "dataset": block.dataset,
            "subset": block.subset,
            "shots": block.shots,
            "seeds": "-".join(map(str, block.seeds)),
            **variant,
        }
    return {"backbone": plan.backbone.name, "dataset": block}


def _component(plan: Plan, job: Job) -> Any:
    if isinstance(job.what, Evaluation) and plan.variant_of(job.what.block).trainable:
        return job.what.block
    return job.what
