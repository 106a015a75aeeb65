"""`snakemake --profile slurm` stops with one line where Slurm could run nothing, and keeps sbatch's words otherwise."""

import re
import shutil
import time
from pathlib import Path

import pytest

from cocoop.errors import UserError
from cocoop.planning.files import plan_of
from cocoop.planning.jobs import jobs_of
from cocoop.planning.stages import FEATURES, FEWSHOT, MANIFEST, TEXT_TOWER
from cocoop.planning.status import slurm
from cocoop.planning.status.refused import reason
from tests.planning.status.fake_slurm import FakeSlurm, other_programs

DOWN = "echo 'slurm_load_partitions: Unable to contact slurm controller (connect failure)' >&2; exit 1"
NO_ACCOUNTING = "echo 'Slurm accounting storage is disabled' >&2; exit 1"


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> Path:
    return other_programs(tmp_path_factory.mktemp("others"))


@pytest.fixture
def fake(tmp_path, others) -> FakeSlurm:
    cluster = FakeSlurm(tmp_path, others)
    cluster.edit_profile()
    return cluster


@pytest.fixture(scope="module")
def begun(others, tmp_path_factory) -> Path:
    """A working folder in which everything has been made that a head makes itself, before it submits jobs."""
    cluster = FakeSlurm(tmp_path_factory.mktemp("begun"), others)
    jobs = jobs_of(plan_of([cluster.folder / "small.yaml"]))
    local = [job for job in jobs if job.stage in (TEXT_TOWER, MANIFEST, FEWSHOT)]
    cluster.without_slurm(*(path for job in local for path in job.outputs.values()))
    return cluster.folder


@pytest.fixture
def submitting(fake, begun) -> FakeSlurm:
    """The fake in a folder where nothing is left to do before the submissions."""
    shutil.copytree(begun, fake.folder, dirs_exist_ok=True)
    return fake


@pytest.fixture
def here(fake, monkeypatch) -> FakeSlurm:
    """The fake as this process's own Slurm."""
    monkeypatch.setenv("PATH", fake.path)
    return fake


def refusal(status_command: str | None = "sacct", **resources: object) -> str | None:
    """What the check says of a job with these resources; None if Slurm can take it."""
    try:
        return slurm.check([resources], status_command)
    except UserError as error:
        return str(error)


@pytest.mark.slow
def test_without_slurm_snakemake_stops_with_one_line(fake):
    fake.remove(*(path.name for path in fake.programs.iterdir()))
    begun = time.monotonic()
    code, text = fake.snakemake()
    assert code == 2 and time.monotonic() - begun < 60
    last = text.strip().splitlines()[-1]
    assert last.startswith("error: no sbatch on PATH: `--profile slurm` needs Slurm; ")
    assert "Traceback" not in text and not (fake.folder / "results").exists()
    assert not list((fake.folder / ".snakemake").glob("locks/*"))
    code, text = fake.snakemake("-n")
    assert code == 0 and "This was a dry-run" in text


def test_account_that_is_not_yours_stops_snakemake(fake):
    fake.edit_profile(slurm_account="nosuch")
    code, text = fake.snakemake()
    expected = "error: account 'nosuch' is not one of yours: lab, project; set slurm_account in slurm/profile.yaml"
    assert (code, text.strip().splitlines()[-1]) == (2, expected)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"gpu": 1}, None),
        ({"gpu": 1, "gpu_model": "a100"}, None),
        ({"gpu": 1, "slurm_account": "LAB, project"}, None),  # as sbatch, in any case
        ({"gres": "gpu:h100:1", "slurm_partition": "cpu,gpu"}, None),
        ({"gpu": 1, "slurm_partition": "cloud"}, None),  # its nodes are powered down and not listed
        ({"gpu": 1, "gpu_model": "b200", "slurm_partition": "there", "clusters": "other"}, None),
        ({"slurm_account": "lab,nosuch"}, "account 'nosuch' is not one of yours: lab, project; set slurm_account in"),
        ({"slurm_partition": "gpuu"}, "partition 'gpuu' is not one of this cluster's: cloud, cpu, gpu; set slurm_partition"),
        ({"gpu": 1, "slurm_partition": "cpu"}, "gres 'gpu': partition 'cpu' has none; partitions with it: gpu; set"),
        (
            {"gpu": 1, "gpu_model": "b200", "slurm_partition": "gpu"},
            "gres 'gpu:b200': partition 'gpu' has gpu, gpu:a100, gpu:h100; set slurm_partition, gpu_model or gres in",
        ),
        ({"gpu": 0, "gres": "gpu:a10:1", "slurm_partition": "gpu"}, "gres 'gpu:a10': partition 'gpu' has gpu, gpu:a100"),
    ],
)  # fmt: skip
def test_what_jobs_ask_for_is_compared_with_the_cluster(here, resources, expected):
    said = refusal(**resources)
    assert said is None if expected is None else said.startswith(expected)


@pytest.mark.parametrize(
    ("name", "script", "resources", "expected"),
    [
        ("sinfo", DOWN, {}, "Slurm does not answer: slurm_load_partitions: Unable to contact slurm controller (connect"),
        ("sinfo", "exec sleep 60", {}, "sinfo did not answer within 0.5 s; try again when Slurm is up"),
        ("sinfo", "echo 'gpu*'", {"gpu": 1, "slurm_partition": "any"}, None),  # another format: nothing can be compared
        ("sacct", NO_ACCOUNTING, {}, "sacct: Slurm accounting storage is disabled; Snakemake would never notice that a job"),
        ("sacctmgr", NO_ACCOUNTING, {"slurm_account": "lab"}, None),  # sshare, which the plugin asks next, lists none
        ("sacctmgr", "exit 0", {"slurm_account": "lab"}, None),
    ],
)  # fmt: skip
def test_answers_of_slurms_programs(here, monkeypatch, name, script, resources, expected):
    monkeypatch.setattr(slurm, "SECONDS", 0.5)
    here.answer(name, script)
    said = refusal(**resources)
    assert said is None if expected is None else said.startswith(expected)


def test_cluster_without_accounts_refuses_an_account(here):
    for name in ("sacctmgr", "sshare"):
        here.answer(name, NO_ACCOUNTING)
    assert refusal(slurm_account="lab") == (
        "account 'lab' cannot be checked: Slurm accounting storage is disabled; if your cluster has no accounts, remove "
        "slurm_account from slurm/profile.yaml"
    )


@pytest.mark.parametrize(
    ("missing", "status_command", "resources", "expected"),
    [
        (["sinfo"], "sacct", {}, "no sinfo on PATH"),
        (["squeue"], "squeue", {}, "no squeue on PATH: Snakemake would never notice that a job has ended"),
        (["sacct", "squeue"], "sacct", {}, "no sacct or squeue on PATH: Snakemake would never notice that a job has ended"),
        (["sacct"], "squeue", {}, "no sacct on PATH: the Slurm plugin needs it to find your default account; set slurm_account"),
        (["sacct"], "sacct", {"slurm_account": "lab"}, None),  # the plugin takes squeue
        (["squeue", "sacctmgr", "sshare"], "sacct", {}, None),
        (["sacctmgr"], "sacct", {"slurm_account": "lab"}, "no sacctmgr on PATH: the Slurm plugin needs it to check"),
    ],
)  # fmt: skip
def test_missing_programs_are_named_if_the_run_needs_them(here, missing, status_command, resources, expected):
    here.remove(*missing)
    said = refusal(status_command, **resources)
    assert said is None if expected is None else said.startswith(expected)


def test_slurm_is_not_queried_without_slurm_jobs(here):
    here.remove("sbatch", "sinfo")
    assert slurm.check([], "sacct") is None


def test_words_of_sbatch_are_in_the_summary_and_in_status(submitting):
    """A job of its own and a group, each refused for another reason."""
    limit = "Requested time limit is invalid (missing or exceeds some limit)"
    qos = "Job violates accounting/QOS policy (job submit limit, user size and/or time limits)"
    submitting.answer(
        "sbatch",
        f'case "$*" in *features*) echo "sbatch: error: Batch job submission failed: {limit}";;\n'
        f'*) echo "sbatch: error: QOSMaxSubmit"; echo "sbatch: error: Batch job submission failed: {qos}";; esac >&2; exit 1',
    )
    code, text = submitting.snakemake()
    assert code == 1
    expected = {
        f"failed: features shapes: not accepted by sbatch: {limit}",
        f"failed: views plain of shapes/base, 1 shots, seeds 4: not accepted by sbatch: {qos}: QOSMaxSubmit",
    }
    summary = text[text.index("\nfailed: ") :]
    assert set(re.findall(r"^failed: .*", summary, re.MULTILINE)) == expected
    assert set(re.findall(r"^failed: .*", submitting.status(), re.MULTILINE)) == expected


def test_refused_second_attempt_keeps_the_error_of_the_first(submitting):
    """The second attempt asks for more time than the partition allows."""
    job = next(
        job
        for job in jobs_of(plan_of([submitting.folder / "small.yaml"]))
        if (job.stage, job.about) == (FEATURES, "shapes")
    )
    log = job.log
    submitting.edit_profile(slurm_account="lab")
    submitting.answer("sacct", "echo '7|FAILED'")
    submitting.answer(
        "sbatch",
        f"if test -e ran; then echo 'sbatch: error: Batch job submission failed: time limit' >&2; exit 1; fi\n"
        f"touch ran; mkdir -p $(dirname {log}); echo 'error: the disk is full' > {log}; echo 7",
    )
    code, text = submitting.snakemake("--retries", "1", "--", *job.outputs.values())
    assert code == 1
    expected = "\nfailed: features shapes: the disk is full; attempt 2 was not accepted by sbatch: time limit\n"
    assert text.count(expected) == submitting.status().count(expected) == 1


def test_exception_while_a_group_is_submitted_fails_the_group(submitting):
    """The Slurm plugin alone would wait for the group forever: the account vanishes after the check at the start."""
    submitting.edit_profile(slurm_account="lab")
    submitting.answer("sacctmgr", "test -e asked && echo other || echo lab; touch asked")
    code, text = submitting.snakemake("--retries", "0")
    assert code == 1
    failed = re.findall(r"^failed: .*", text, re.MULTILINE)
    assert any(
        line.startswith("failed: views plain of shapes/base, 1 shots, seeds 4: not submitted: ") for line in failed
    )
    assert all("The given account lab appears to be invalid. Available accounts: other" in line for line in failed)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "SLURM sbatch failed. The error message was 'sbatch: error: invalid partition specified: gpuu\n"
            "sbatch: error: Batch job submission failed: Invalid partition name specified'.\n    sbatch call:\n   sbatch -p",
            "not accepted by sbatch: Invalid partition name specified: invalid partition specified: gpuu",
        ),
        ("sbatch: fatal: no quota", "not accepted by sbatch: no quota"),
        ("no sbatch\n  today", "not submitted: no sbatch today"),
        ("", "not submitted: no reason given"),
    ],
)
def test_reason_of_a_refusal_is_one_line(message, expected):
    assert reason(message) == expected
