import gc
import os
import re
import shlex

from snakemake.exceptions import WorkflowError

from cocoop.planning import Block, experiment_content, files, paths
from cocoop.planning.environment import environment
from cocoop.errors import UserError
from cocoop.io import canonical_json

REPOSITORY = Path(workflow.basedir).parent


def read_only(folder):
    """The folder, or the nearest one above it that exists, where nothing can be written; else None."""
    folder = Path(folder).absolute()
    place = next(place for place in (folder, *folder.parents) if place.exists())
    return None if os.access(place, os.W_OK) else place


def refuse(message):
    print(f"error: {message}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(2)


def planned():
    """The plan of the demo or of the files named, read safely; what is wrong with it is one line and exit code 2.

    Snakemake itself has read files named with --configfile before this, and evaluated what they ask it to.
    """
    try:
        return files.plan_of(
            workflow.overwrite_configfiles, workflow.config_settings.config
        )
    except UserError as error:
        refuse(error)


if place := read_only(".snakemake"):
    refuse(
        f"{place}: read-only, and Snakemake writes into .snakemake here even for -n; "
        "`python -m cocoop status`, `show` and `plan` need not write."
    )
PLAN = planned()
config.clear()
config.update(PLAN.config)
if not workflow.overwrite_configfiles:
    workflow.configfiles.append(str(files.DEMO))  # named in Snakemake's report
DATA = config["data_root"]
ENVIRONMENT = {
    "PYTHONPATH": str(REPOSITORY),
    **environment(config),
    "TQDM_DISABLE": "",
}
shell.prefix(
    "".join(
        f"export {key}={shlex.quote(value)}; "
        for key, value in ENVIRONMENT.items()
        if value
    )
)


def alternatives(names):
    return "|".join(sorted(map(re.escape, names))) or "none"


wildcard_constraints:
    backbone=alternatives([PLAN.backbone.name]),
    dataset=alternatives(PLAN.datasets),
    target=alternatives(PLAN.datasets),
    variant=alternatives(PLAN.registry.variants),
    experiment=alternatives(PLAN.experiments),
    subset="all|base|new",
    subsets=r"(all|base|new)(\+(all|base|new))*",
    shots=r"\d+",
    seed=r"\d+",
    seeds=r"\d+(-\d+)*",
    views=r"plain|views\d+-\d+",


def block_of(wildcards):
    seeds = tuple(map(int, wildcards.seeds.split("-")))
    return Block(
        wildcards.dataset,
        wildcards.subset,
        wildcards.variant,
        int(wildcards.shots),
        seeds,
    )


def dataset_settings(wildcards):
    spec = PLAN.datasets[wildcards.dataset]
    return canonical_json({"name": spec.name, "settings": spec.settings})


def template_of(name):
    return PLAN.datasets[name].template


def dataset_root(wildcards):
    return f"{DATA}/{PLAN.datasets[wildcards.dataset].folder}"


def target_root(wildcards):
    return f"{DATA}/{PLAN.datasets[wildcards.target].folder}"


def run_settings(wildcards):
    return canonical_json(PLAN.settings_of(block_of(wildcards)))


def view_settings(wildcards):
    name = wildcards.views.removeprefix("views")
    views = None if name == "plain" else [int(edge) for edge in name.split("-")]
    seeds = [int(seed) for seed in wildcards.seeds.split("-")]
    return canonical_json(
        {
            "backbone": PLAN.backbone.settings,
            "subset": wildcards.subset,
            "seeds": seeds,
            "views": views,
        }
    )


def selections(wildcards):
    return [
        f"results/datasets/{wildcards.dataset}/fewshot/shots{wildcards.shots}_seed{seed}.json"
        for seed in wildcards.seeds.split("-")
    ]


def takes_images(wildcards):
    return PLAN.registry.variants[wildcards.variant].inputs == "images"


def manifest_of(dataset):
    return f"results/datasets/{dataset}/manifest.json"


def images_of_run(wildcards):
    if takes_images(wildcards):
        return {
            "manifest": manifest_of(wildcards.dataset),
            "fewshot": selections(wildcards),
        }
    return {"views": paths.view_paths(PLAN, block_of(wildcards))}


def images_of_test(wildcards):
    if takes_images(wildcards):
        return {}
    return {
        "features": f"results/features/{wildcards.backbone}/{wildcards.target}/test.safetensors"
    }


def image_options(input, root):
    """The options of a stage for the images it reads, cached or not; the number of threads is no part of a job's settings."""
    keys = ("views", "features", "manifest", "fewshot")
    words = [[f"--{key}", *as_list(input[key])] for key in keys if key in input.keys()]
    options = " ".join(map(shlex.join, words))
    if "views" in input.keys() or "features" in input.keys():
        return options
    workers = "$((${OMP_NUM_THREADS:-1} - 1))"  # Snakemake sets it to the threads
    return f"{options} --root {shlex.quote(root)} --workers {workers}"


def as_list(files):
    return [files] if isinstance(files, str) else list(files)


def learned_of_run(wildcards):
    block = block_of(wildcards)
    trainable = PLAN.variant_of(block).trainable
    return (
        {"learned": f"{paths.run_folder(PLAN, block)}/learned.safetensors"}
        if trainable
        else {}
    )


def evaluations_of(experiment):
    return sorted(set(PLAN.evaluations_of(PLAN.experiments[experiment])))


def metrics_of(wildcards):
    return [
        f"{paths.evaluation_folder(PLAN, e)}/metrics.json"
        for e in evaluations_of(wildcards.experiment)
    ]


def trained_of(wildcards):
    blocks = sorted({e.block for e in evaluations_of(wildcards.experiment)})
    return [
        paths.run_folder(PLAN, block)
        for block in blocks
        if PLAN.variant_of(block).trainable
    ]


def drawn_of(wildcards):
    blocks = {e.block for e in evaluations_of(wildcards.experiment)}
    return sorted(
        {
            f"results/datasets/{block.dataset}/fewshot/shots{block.shots}_seed{seed}.json"
            for block in blocks
            if PLAN.variant_of(block).trainable
            for seed in block.seeds
        }
    )


def tested_of(wildcards):
    return [str(Path(metrics).parent) for metrics in metrics_of(wildcards)]


def learned_of(wildcards):
    return [f"{folder}/learned.safetensors" for folder in trained_of(wildcards)]


def experiment_settings(wildcards):
    return canonical_json(experiment_content(PLAN, wildcards.experiment))


def experiment_outputs():
    return [
        f"results/experiments/{name}/{part}"
        for name in PLAN.experiments
        for part in ("tables", "figures", "paired")
    ]


def sources(*parts):
    return sorted(
        str(path)
        for part in parts
        for path in (REPOSITORY / "cocoop" / part).rglob("*.py")
    )


def say_where_it_cannot_write():
    """Before the first job: Snakemake itself would show a traceback."""
    if place := read_only("results"):
        raise WorkflowError(
            f"error: {place}: read-only, and there is something to make in it; make it writable and run again."
        )


def say_what_failed():
    """The last words of a benchmark with failures: which jobs, where their logs are, how to run them alone."""
    from cocoop.planning.status.report import show_failures

    named = [os.path.relpath(path) for path in workflow.overwrite_configfiles]
    show_failures(PLAN, Path(), named)
    gc.freeze()  # Python's exit need not search all of Snakemake for garbage: after Ctrl-C that took most of the time
