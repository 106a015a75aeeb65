"""Every job of a plan with its files: what workflow/rules asks for, as data. `tests/test_jobs.py` holds the two together."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from cocoop.planning import paths
from cocoop.planning.plan import Block, Evaluation, Plan

EXPERIMENT_STAGES = {
    "experiment": ("experiment.json",),
    "collect": ("records.csv", "records.csv.sha256", "records.csv.notes.json"),
    "tables": ("tables",),
    "paired": ("paired",),
    "figures": ("figures",),
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
    inputs: files other jobs make for it; log, benchmark: paths like `outputs`, relative to the working folder;
    experiments: who needs it.
    """

    stage: str
    what: str | Views | Block | Evaluation
    inputs: tuple[str, ...]
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
    parts = tuple(
        f"results/experiments/{name}/{part}" for name in plan.experiments for part in ("tables", "figures", "paired")
    )
    page = Job("page", "report", parts, ("results/report.html",), "results/logs/report.log")
    order = ["download", "manifest", "text_tower", "fewshot", *GPU_STAGES, *EXPERIMENT_STAGES]
    jobs = [replace(job, experiments=tuple(names)) for job, names in wanted.items()]
    return [*sorted(jobs, key=lambda job: (order.index(job.stage), job.log)), page]


def _of_experiment(plan: Plan, name: str) -> Iterator[Job]:
    evaluations = set(plan.evaluations_of(plan.experiments[name]))
    blocks = {e.block for e in evaluations if plan.variant_of(e.block).trainable}
    yield Job(
        "text_tower", plan.backbone.name, (), (_tower(plan),), f"results/logs/text_tower/{plan.backbone.name}.log"
    )
    for dataset in {b.dataset for b in blocks} | {e.target for e in evaluations}:
        stamp = f"{plan.config['data_root']}/.sources/{dataset}.json"
        yield Job("download", dataset, (), (stamp,), f"results/logs/download/{dataset}.log")
        yield Job("manifest", dataset, (stamp,), (_manifest(dataset),), f"results/logs/manifest/{dataset}.log")
    for block in blocks:
        yield from _of_block(plan, block)
    for target in {e.target for e in evaluations if not _live(plan, e.block)}:
        tail, inputs = f"features/{plan.backbone.name}/{target}", (_tower(plan), _manifest(target))
        yield Job(
            "features",
            target,
            inputs,
            (_features(plan, target),),
            f"results/logs/{tail}.log",
            f"results/benchmarks/{tail}.jsonl",
        )
    for evaluation in evaluations:
        yield _evaluation(plan, evaluation)
    inputs = {
        "experiment": [],
        "collect": sorted(f"{paths.evaluation_folder(plan, e)}/metrics.json" for e in evaluations),
    }
    made = {
        stage: [f"results/experiments/{name}/{file}" for file in files] for stage, files in EXPERIMENT_STAGES.items()
    }
    for stage, outputs in made.items():
        needed = inputs.get(stage, [*made["experiment"], *made["collect"]])
        yield Job(stage, name, tuple(needed), tuple(outputs), f"results/logs/{stage}/{name}.log")


def _live(plan: Plan, block: Block) -> bool:
    """Whether a block's method takes images, which its jobs decode themselves."""
    return plan.variant_of(block).inputs == "images"


def _tower(plan: Plan) -> str:
    return f"results/backbones/{plan.backbone.name}/text_tower.safetensors"


def _manifest(dataset: str) -> str:
    return f"results/datasets/{dataset}/manifest.json"


def _features(plan: Plan, dataset: str) -> str:
    return f"results/features/{plan.backbone.name}/{dataset}/test.safetensors"


def _of_block(plan: Plan, block: Block) -> Iterator[Job]:
    draws = []
    for seed in block.seeds:
        draw = f"shots{block.shots}_seed{seed}"
        draws.append(f"results/datasets/{block.dataset}/fewshot/{draw}.json")
        log = f"results/logs/fewshot/{block.dataset}_{draw}.log"
        yield Job("fewshot", f"{block.dataset} {draw}", (_manifest(block.dataset),), (draws[-1],), log)
    draw = f"{plan.backbone.name}/{block.dataset}/{block.subset}/shots{block.shots}_seeds{block.seeds_text}"
    files = paths.view_paths(plan, block)
    for name, out in zip(plan.view_files(block), files, strict=True):
        views = Views(block.dataset, block.subset, block.shots, block.seeds, name)
        log, benchmark = f"results/logs/views/{draw}_{name}.log", f"results/benchmarks/views/{draw}_{name}.jsonl"
        yield Job("views", views, (_tower(plan), _manifest(block.dataset), *draws), (out,), log, benchmark)
    folder = paths.run_folder(plan, block)
    tail = folder.removeprefix("results/runs/")
    outputs = tuple(f"{folder}/{name}" for name in ("learned.safetensors", "history.csv", "cost.json"))
    log, benchmark = f"results/logs/train/{tail}.log", f"results/benchmarks/train/{_flat(tail)}.jsonl"
    images = (_manifest(block.dataset), *draws) if _live(plan, block) else files
    yield Job("train", block, (_tower(plan), *images), outputs, log, benchmark)


def _evaluation(plan: Plan, evaluation: Evaluation) -> Job:
    folder, run = paths.evaluation_folder(plan, evaluation), paths.run_folder(plan, evaluation.block)
    learned = [f"{run}/learned.safetensors"] if plan.variant_of(evaluation.block).trainable else []
    outputs = tuple(f"{folder}/{name}" for name in ("metrics.json", "predictions.safetensors", "cost.json"))
    log = f"results/logs/evaluate/{folder.removeprefix('results/runs/')}.log"
    test = f"{evaluation.target}_{evaluation.subsets_text}"
    benchmark = f"results/benchmarks/evaluate/{_flat(run.removeprefix('results/runs/'))}/{test}.jsonl"
    target = evaluation.target
    features = () if _live(plan, evaluation.block) else (_features(plan, target),)
    inputs = (_tower(plan), _manifest(target), *features, *learned)
    return Job("evaluate", evaluation, inputs, outputs, log, benchmark)


def _flat(run: str) -> str:
    folder, _, seeds = run.rpartition("/")
    return f"{folder}_{seeds}"
