"""Every job of a plan with its files: what workflow/rules asks for, as data. `tests/test_jobs.py` holds the two together."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cocoop.config import paths
from cocoop.config.plan import Block, Evaluation, Plan

EXPERIMENT_STAGES = {
    "experiment": "experiment.json",
    "collect": "records.csv",
    "tables": "tables",
    "paired": "paired",
    "figures": "figures",
}
GPU_STAGES = ("features", "views", "train", "evaluate")


@dataclass(frozen=True, order=True)
class Views:
    """The images of a draw, encoded once: augmented views (name `views10-50`) or the images as they are (`plain`)."""

    dataset: str
    subset: str
    shots: int
    seeds: tuple[int, ...]
    name: str

    @property
    def per_image(self) -> int:
        """Views of each image in this file."""
        start, _, stop = self.name.removeprefix("views").partition("-")
        return int(stop) - int(start) if stop else 1


@dataclass(frozen=True)
class Job:
    """One job of the workflow.

    stage: the rule; what: the dataset or experiment (str), Views, Block (train) or Evaluation it is about;
    log, benchmark: paths like `outputs`, relative to the working folder; experiments: who needs it.
    """

    stage: str
    what: str | Views | Block | Evaluation
    outputs: tuple[str, ...]
    log: str
    benchmark: str | None = None
    experiments: tuple[str, ...] = field(default=(), compare=False)

    @property
    def needs_gpu(self) -> bool:
        return self.stage in GPU_STAGES


def jobs_of(plan: Plan) -> list[Job]:
    """Every job once, in the order of the stages, with the experiments that need it."""
    wanted: dict[Job, list[str]] = {}
    for name in plan.experiments:
        for job in _of_experiment(plan, name):
            wanted.setdefault(job, []).append(name)
    page = Job("page", "report", ("results/report.html",), "results/logs/report.log")
    order = ["download", "manifest", "text_tower", "fewshot", *GPU_STAGES, *EXPERIMENT_STAGES]
    jobs = [Job(j.stage, j.what, j.outputs, j.log, j.benchmark, tuple(names)) for j, names in wanted.items()]
    return [*sorted(jobs, key=lambda job: (order.index(job.stage), job.log)), page]


def _of_experiment(plan: Plan, name: str) -> Iterator[Job]:
    evaluations = set(plan.evaluations_of(plan.experiments[name]))
    blocks = {e.block for e in evaluations if plan.variant_of(e.block).trainable}
    yield _text_tower(plan)
    for dataset in {b.dataset for b in blocks} | {e.target for e in evaluations}:
        yield from _listing(plan, dataset)
    for block in blocks:
        yield from _of_block(plan, block)
    for target in {e.target for e in evaluations}:
        tail = f"features/{plan.backbone.name}/{target}"
        out = f"results/{tail}/test.safetensors"
        yield Job("features", target, (out,), f"results/logs/{tail}.log", f"results/benchmarks/{tail}.jsonl")
    for evaluation in evaluations:
        yield _evaluation(plan, evaluation)
    for stage, output in EXPERIMENT_STAGES.items():
        yield Job(stage, name, (f"results/experiments/{name}/{output}",), f"results/logs/{stage}/{name}.log")


def _text_tower(plan: Plan) -> Job:
    name = plan.backbone.name
    out = f"results/backbones/{name}/text_tower.safetensors"
    return Job("text_tower", name, (out,), f"results/logs/text_tower/{name}.log")


def _listing(plan: Plan, dataset: str) -> Iterator[Job]:
    stamp = f"{plan.config['data_root']}/.sources/{dataset}.json"
    yield Job("download", dataset, (stamp,), f"results/logs/download/{dataset}.log")
    out = f"results/datasets/{dataset}/manifest.json"
    yield Job("manifest", dataset, (out,), f"results/logs/manifest/{dataset}.log")


def _of_block(plan: Plan, block: Block) -> Iterator[Job]:
    for seed in block.seeds:
        draw = f"shots{block.shots}_seed{seed}"
        out = f"results/datasets/{block.dataset}/fewshot/{draw}.json"
        yield Job("fewshot", f"{block.dataset} {draw}", (out,), f"results/logs/fewshot/{block.dataset}_{draw}.log")
    draw = f"{plan.backbone.name}/{block.dataset}/{block.subset}/shots{block.shots}_seeds{block.seeds_text}"
    for name, out in zip(plan.view_files(block), paths.view_paths(plan, block), strict=True):
        views = Views(block.dataset, block.subset, block.shots, block.seeds, name)
        log, benchmark = f"results/logs/views/{draw}_{name}.log", f"results/benchmarks/views/{draw}_{name}.jsonl"
        yield Job("views", views, (out,), log, benchmark)
    folder = paths.run_folder(plan, block)
    tail = folder.removeprefix("results/runs/")
    outputs = tuple(f"{folder}/{name}" for name in ("learned.safetensors", "history.csv", "cost.json"))
    yield Job("train", block, outputs, f"results/logs/train/{tail}.log", f"results/benchmarks/train/{_flat(tail)}.jsonl")


def _evaluation(plan: Plan, evaluation: Evaluation) -> Job:
    folder = paths.evaluation_folder(plan, evaluation)
    run = paths.run_folder(plan, evaluation.block).removeprefix("results/runs/")
    test = f"{evaluation.target}_{evaluation.subsets_text}"
    outputs = tuple(f"{folder}/{name}" for name in ("metrics.json", "predictions.safetensors", "cost.json"))
    log = f"results/logs/evaluate/{folder.removeprefix('results/runs/')}.log"
    return Job("evaluate", evaluation, outputs, log, f"results/benchmarks/evaluate/{_flat(run)}/{test}.jsonl")


def _flat(run: str) -> str:
    folder, _, seeds = run.rpartition("/")
    return f"{folder}_{seeds}"
