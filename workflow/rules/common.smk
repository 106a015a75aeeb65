import atexit
import os
import shlex

from snakemake.exceptions import WorkflowError

from cocoop.errors import UserError
from cocoop.forkserver import client
from cocoop.planning import files, stages
from cocoop.planning.environment import environment
from cocoop.planning.jobs import jobs_of
from cocoop.planning.priority import priority
from cocoop.provenance import NUMERIC

REPOSITORY = places.REPOSITORY
IN_CLONE = places.SHIPPED == REPOSITORY
IS_MODULE = not workflow.modifier.is_main_snakefile()
DEPLOYED = workflow.deployment_settings.deployment_method


def refuse(message):
    """Stops Snakemake with one line and exit code 2, like the stages."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def read_only(folder):
    """The folder, or its closest existing parent, if it is not writable; None if it is."""
    folder = Path(folder).absolute()
    place = next(place for place in (folder, *folder.parents) if place.exists())
    return None if os.access(place, os.W_OK) else place


if place := read_only(".snakemake"):
    refuse(
        f"{place}: read-only, but Snakemake needs to write .snakemake here, even for -n; "
        "`python -m cocoop status`, `show` and `plan` work without write access."
    )
if workflow.modifier.path_modifier.replace_prefix("results") != "results":
    refuse(
        "prefix and replace_prefix of a module are not supported, because the commands of the jobs name their files too;"
        " run the module in a folder of its own (--directory), and choose `data_root` in its config."
    )
try:
    # The `config` of a module is complete; the files of --configfile are its caller's.
    PLAN = (
        files.plan_from(config)
        if IS_MODULE
        else files.plan_from(
            config, workflow.overwrite_configfiles, workflow.config_settings.config
        )
    )
    if not IS_MODULE:  # for Snakemake's report
        config.update(PLAN.config, backbones=list(PLAN.backbones))
    JOBS = {job.key: job for job in jobs_of(PLAN)}
except UserError as error:
    refuse(error)
DATA = PLAN.config["data_root"]


def package():
    """The folder to import the package from, as a variable for all jobs; none where each job finds what is installed.

    Jobs in a conda environment or a container import an installed package through a link: with the whole folder, they would
    also import its neighbours, which belong to another Python.
    """
    if IN_CLONE:
        return {"PYTHONPATH": str(REPOSITORY)}
    if not DEPLOYED:
        return {}
    link = Path(".snakemake", "package", "cocoop").absolute()
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists() or not link.samefile(places.PACKAGE):
        link.unlink(missing_ok=True)
        link.symlink_to(places.PACKAGE)
    return {"PYTHONPATH": str(link.parent)}


ENVIRONMENT = {**package(), **environment(PLAN.config)}


def exports():
    """Shell commands in front of every job: its environment, and our `python` if the environment is not activated."""
    own = str(Path(sys.executable).parent)
    activated = own in os.environ.get("PATH", "").split(os.pathsep)
    path = "" if activated or DEPLOYED else f'export PATH={shlex.quote(own)}:"$PATH"; '
    # PPID: the Snakemake that runs the job. In a Slurm job, that of the batch step, which start_server names.
    head = os.environ.get(client.VARIABLE, "$PPID")
    server = f"export {client.VARIABLE}={head}; " if PLAN.config["forkserver"] else ""
    variables = (
        f"export {key}={shlex.quote(value)}; " for key, value in ENVIRONMENT.items()
    )
    return "".join([path, server, *variables])


shell.prefix(exports().replace("{", "{{").replace("}", "}}"))  # which Snakemake formats


def start_server():
    """In the batch step of a Slurm job: starts the server for the job's stages, each of which is a step with its own Snakemake.

    It imports torch while the first of these Snakemakes starts.
    """
    in_batch_step = "SLURM_JOB_ID" in os.environ and "SLURM_STEP_ID" not in os.environ
    wanted = PLAN.config["forkserver"] and workflow.remote_exec and not DEPLOYED
    if in_batch_step and wanted:
        os.environ[client.VARIABLE] = str(os.getpid())
        atexit.register(client.tidy, os.getpid())  # a job's Snakemake has no onsuccess
        shell(
            f"python -m cocoop.forkserver.client {stages.TRAIN.name} < /dev/null &> /dev/null &",
            threads=os.environ.get("SLURM_CPUS_PER_TASK", 1),
        )


start_server()


wildcard_constraints:
    **{
        name: "[^/]+"
        for name in ("backbone", "dataset", "target", "variant", "experiment", "views")
    },
    id="[0-9a-f]+",
    again=r"(\.\d+)?",
    test="[0-9a-f]+",
    subset=r"all|(base|new)(-\d+)?",
    subsets=r"(all|(base|new)(-\d+)?)(\+(all|(base|new)(-\d+)?))*",
    shots=r"\d+|all",
    seed=r"\d+",
    draw="(-[0-9a-f]+)?",
    seeds="[0-9a-z-]+",


def job_of(stage, wildcards):
    """The planned job of a rule with these wildcards. A target of another configuration is refused."""
    key = (stage.name, frozenset(wildcards.items()))
    if key in JOBS or IS_MODULE:  # of a module's KeyError Snakemake learns that the file is not this rule's
        return JOBS[key]
    path = next(iter(stage.outputs.values())).format(**wildcards, data_root=DATA)
    refuse(
        f"{path}: not a result of {PLAN.where}; other settings give other paths: name the --configfile and --config that it"
        " was made with, or leave out the target to make all results."
    )


def inputs_of(stage):
    """An input function that returns the input files of a job by name. It ignores the age of `fetched` files."""

    def inputs(wildcards):
        found = dict(job_of(stage, wildcards).inputs)
        if "fetched" in found:
            found["fetched"] = ancient(found["fetched"])
        return found

    return inputs


def command_of(stage):
    """A params function that returns the arguments of a job after `python -m cocoop`."""
    return lambda wildcards: job_of(stage, wildcards).command


def priority_of(stage):
    """A priority function; without one, a rule has the lowest."""
    return lambda wildcards: priority(job_of(stage, wildcards), PLAN.datasets)


def final_outputs():
    """The outputs of a configuration: all from the evaluations on, the manifests, and stamps of changed files.

    Snakemake does not recreate a missing file that nothing asks for if the files made from it exist.
    """
    first = stages.ORDER.index(stages.EVALUATE)

    def wanted(job):
        later = stages.ORDER.index(job.stage) >= first
        return later or job.stage is stages.MANIFEST or job.wildcards.get("again")

    return [
        path for job in filter(wanted, JOBS.values()) for path in job.outputs.values()
    ]


def sources(*parts):
    """The source files in parts of the package. A stage that has them as inputs runs again when they change."""
    return sorted(
        os.path.relpath(path)
        for part in parts
        for path in (REPOSITORY / "cocoop" / part).rglob("*.*")
        if path.suffix in (".py", ".html", ".css", ".js")
    )


def say_where_it_cannot_write():
    """Checks write access before the first job, because Snakemake would show a traceback."""
    if place := read_only("results"):
        raise WorkflowError(
            f"error: {place}: read-only, but results have to be written there; make it writable and run again."
        )


def say_what_failed():
    """Reports the failed jobs, their logs and how to continue, at the end of a run with failures."""
    from cocoop.planning.status.report import show_failures

    named = [os.path.relpath(path) for path in workflow.overwrite_configfiles]
    show_failures(PLAN, Path(), named, workflow.config_settings.config)


def say_what_to_know():
    """The last words of a benchmark that went well: what a reader of its numbers must know."""
    from cocoop.reporting.tables.showing import show_notes

    show_notes(PLAN, Path("results"))
