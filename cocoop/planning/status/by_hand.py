"""How to run one job alone: through Snakemake, and as the command line of its stage."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from cocoop.io import canonical_json
from cocoop.planning import Block, Evaluation, Plan, paths
from cocoop.planning.environment import environment
from cocoop.planning.jobs import Job, Views

PYTHON = ("python", "-m", "cocoop")


def through_snakemake(job: Job, configfiles: Sequence[Path], profile: str | None = None) -> str:
    """Runs the job, and before it whatever it still lacks: here, or where the profile of the run sends it."""
    how = ["--profile", profile] if profile else ["--cores", "all", "--rerun-incomplete"]
    files = ["--configfile", *map(str, configfiles)] if configfiles else []
    return shlex.join(["snakemake", *how, *files, "--", job.outputs[0]])


def stage(plan: Plan, job: Job, workers: int = 0) -> str | None:
    """The stage's own command line with its environment, as workflow/rules has it; None for stages that take seconds.

    workers: processes that decode images. Relative paths: it runs in the working folder.
    """
    words = _stage(plan, job, workers)
    if words is None:
        return None
    variables = [f"{name}={shlex.quote(value)}" for name, value in environment(plan.config).items()]
    return " ".join([*variables, shlex.join([*PYTHON, *words])])


def _stage(plan: Plan, job: Job, workers: int) -> list[str] | None:
    if isinstance(job.what, Evaluation):
        return ["evaluate", *_evaluate(plan, job.what, workers)]
    if isinstance(job.what, Block):
        return ["train", *_train(plan, job.what, workers)]
    out = ["--out", job.outputs[0]]
    if isinstance(job.what, Views):
        return ["views", *_views(plan, job.what, workers), *out]
    if job.stage == "features":
        settings = canonical_json({"backbone": plan.backbone.settings})
        return ["features", "--settings", settings, *_images(plan, job.what, workers), *out]
    return None


def _images(plan: Plan, dataset: str, workers: int, *drawn: str) -> list[str]:
    root = f"{plan.config['data_root']}/{plan.datasets[dataset].folder}"
    return [
        "--manifest",
        f"results/datasets/{dataset}/manifest.json",
        *drawn,
        "--root",
        root,
        "--workers",
        str(workers),
    ]


def _views(plan: Plan, views: Views, workers: int) -> list[str]:
    start, _, stop = views.name.removeprefix("views").partition("-")
    span = [int(start), int(stop)] if stop else None
    settings = {"backbone": plan.backbone.settings, "subset": views.subset, "seeds": list(views.seeds), "views": span}
    return ["--settings", canonical_json(settings), *_images(plan, views.dataset, workers, "--fewshot", *_draws(views))]


def _tower(plan: Plan) -> str:
    return f"results/backbones/{plan.backbone.name}/text_tower.safetensors"


def _draws(block: Block | Views) -> list[str]:
    return [f"results/datasets/{block.dataset}/fewshot/shots{block.shots}_seed{seed}.json" for seed in block.seeds]


def _seen(plan: Plan, block: Block, workers: int) -> list[str]:
    """What a training reads: views, or images where its method takes them."""
    if plan.variant_of(block).inputs == "images":
        return _images(plan, block.dataset, workers, "--fewshot", *_draws(block))
    return ["--views", *paths.view_paths(plan, block)]


def _tested(plan: Plan, block: Block, target: str, workers: int) -> list[str]:
    if plan.variant_of(block).inputs == "images":
        return _images(plan, target, workers)
    features = f"results/features/{plan.backbone.name}/{target}/test.safetensors"
    return ["--features", features, "--manifest", f"results/datasets/{target}/manifest.json"]


def _train(plan: Plan, block: Block, workers: int) -> list[str]:
    return [
        "--settings", canonical_json(plan.settings_of(block)), "--text-tower", _tower(plan),
        *_seen(plan, block, workers), "--template", plan.datasets[block.dataset].template,
        "--out", paths.run_folder(plan, block),
    ]  # fmt: skip


def _evaluate(plan: Plan, evaluation: Evaluation, workers: int) -> list[str]:
    block, target = evaluation.block, evaluation.target
    learned = f"{paths.run_folder(plan, block)}/learned.safetensors"
    return [
        "--settings", canonical_json(plan.settings_of(block)), "--target", target, "--subsets", evaluation.subsets_text,
        "--template", plan.datasets[target].template, "--text-tower", _tower(plan),
        *_tested(plan, block, target, workers),
        *(["--learned", learned] if plan.variant_of(block).trainable else []),
        "--out", paths.evaluation_folder(plan, evaluation),
    ]  # fmt: skip
