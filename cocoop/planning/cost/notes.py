"""The notes below the table of `plan`: what its numbers count, what they assume, and what is missing."""

from collections.abc import Sequence

from cocoop.errors import listed
from cocoop.planning import Plan
from cocoop.planning.cost.phases import Speed
from cocoop.planning.cost.tokens import TAIL
from cocoop.planning.cost.work import Estimator
from cocoop.planning.job import Job


def of(plan: Plan, estimator: Estimator, speed: Speed) -> list[str]:
    """The notes on a plan: what its numbers count, and what is missing."""
    known = estimator.datasets
    notes = [
        "",
        f"{len(plan.datasets)} datasets, {sum(size.download_bytes for size in known.values()) / 1e9:.0f} GB to download "
        "(as far as published), and as much again unpacked; disk GB is the size of the results.",
        "Passes and tokens are in millions. A pass sends one image, or one class name in its context, through its encoder; jobs "
        "shared by experiments count in each.",
    ]
    if unknown := sorted(set(plan.datasets) - set(known)):
        notes.append(f"Not included, because their size is unknown without a manifest: {listed(unknown)}.")
    if stated := sorted(name for name, size in known.items() if size.estimated):
        shown = (f"{known[name].test_images:,} test images of {name}" for name in stated)
        notes.append(f"Unverified numbers of the authors: {', '.join(shown)}.")
    if any(not size.classnames for size in known.values()):
        notes.append(
            f"~ assumes {TAIL} tokens per class; for exact numbers, run `snakemake --until manifest` with this configuration, "
            "which downloads the datasets and lists their class names."
        )
    if states := {run.variant: size for run in plan.runs if (size := estimator.states(run))}:
        notes.append(
            f"States of frozen image layers take up to {max(states.values()) / 2**20:,.0f} MB of memory in a job "
            f"({listed(sorted(states))}). If that is more than image_states_mb ({plan.config['image_states_mb']}), they are "
            "computed in each epoch."
        )
    if steps := {run.variant: size for run in plan.runs if (size := estimator.activations(run))}:
        largest = max(steps, key=lambda name: steps[name])
        notes.append(
            f"Images that pass through the image tower take about {steps[largest] / 2**20:,.0f} MB of memory in a training step "
            f"({largest}; less in others, up to twice as much with CLIP-LoRA). The text tower takes at most text_budget_mb "
            f"({plan.config['text_budget_mb']})."
        )
    if unsized := [plan.backbones[name].model for name, size in estimator.backbones.items() if size.embed_dim is None]:
        notes.append(f"open_clip has no config of {listed(unsized)}; disk does not include features.")
    return notes + speed.notes()


def local(jobs: Sequence[Job], estimator: Estimator) -> list[str]:
    """A note on the size of local image features, which are many times larger than global ones."""
    local = [job for job in jobs if job.local]
    if not local:
        return []
    total, notes = 0, []
    for name in dict.fromkeys(str(job.backbone) for job in local):
        size = estimator.backbones[name]
        if (one := size.feature_bytes(1, local=True)) is None:
            return [f"The disk does not include local image features of {name}: its config does not tell their number."]
        notes.append(f"1 + {size.places} features in half precision, {one / 1e3:.0f} kB for each image or view")
    total = sum(work.disk for job in local if (work := estimator.work(job)))
    return [
        f"Of the disk, local image features take {total / 1e9:.1f} GB: {'; '.join(dict.fromkeys(notes))}. While such a file is "
        "written, its parts take as much again."
    ]
