"""Checks before the first submission that Slurm knows the accounts, partitions and resources that the jobs request.

Otherwise, a missing program or a wrong account would make every submission fail, or make Snakemake wait forever.
"""

import getpass
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cocoop.errors import UserError
from cocoop.planning.status import refused

SECONDS = 20  # to wait for an answer from Slurm
PROFILE = "slurm/profile.yaml"
OTHER_CLUSTER = ("cluster", "clusters", "slurm_cluster")  # resources that send a job to another cluster


@dataclass(frozen=True)
class Request:
    """What a job requests from Slurm; None for the cluster's default.

    Attributes:
        accounts: names separated by commas.
        partitions: names separated by commas.
        gres: `gpu`, `gpu:a100` or another generic resource, without a count.
    """

    accounts: str | None = None
    partitions: str | None = None
    gres: str | None = None


@dataclass(frozen=True)
class Partition:
    """A partition as listed by sinfo.

    Attributes:
        gres: generic resources of its nodes in lower case.
        has_nodes: False if sinfo shows none, as on clouds that hide nodes that are powered down.
    """

    gres: frozenset[str] = frozenset()
    has_nodes: bool = False


def start(workflow: Any) -> None:
    """Checks the requests to Slurm and starts to record failed submissions. For Snakemake's onstart.

    workflow: Snakemake's workflow.
    Prints one line and exits with code 2 if a check fails; a WorkflowError would add locations in the Snakefiles.
    """
    refused.record()
    if workflow.executor_plugin.name != "slurm":
        return
    submitted = (job.resources for job in workflow.dag.needrun_jobs() if not job.is_local)
    try:
        check(submitted, workflow.executor_settings.status_command)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (the executor's thread prints that its event loop was stopped)
        sys.exit(2)


def check(resources: Iterable[Mapping[str, Any]], status_command: str | None) -> None:
    """Raises a UserError if Slurm is missing, does not answer, or does not know what the jobs request.

    resources: the resources of each job for Slurm.
    status_command: `sacct` or `squeue`, the plugin's command to check its jobs.
    """
    requests = {request_of(each) for each in resources}
    if not requests:
        return
    _find_programs(requests, status_command)
    partitions = _partitions()
    for account in sorted({name for request in requests for name in _names(request.accounts)}):
        _check_account(account)
    for request in sorted(requests, key=repr):
        _check_partitions(request, partitions)
        _check_gres(request, partitions)
    if status_command == "sacct" and shutil.which("sacct"):
        _check_accounting()


def request_of(resources: Mapping[str, Any]) -> Request:
    """The request of a job with these resources, which have the executor plugin's names."""
    gres = str(resources.get("gres") or "")
    if resources.get("gpu_model"):
        gres = f"gpu:{resources.get('gpu_model')}"
    elif resources.get("gpu") and not gres:
        gres = "gpu"
    if any(resources.get(name) for name in OTHER_CLUSTER):  # partitions of another cluster cannot be checked
        return Request(_text(resources.get("slurm_account")))
    return Request(
        _text(resources.get("slurm_account")),
        _text(resources.get("slurm_partition")),
        _text(re.sub(r":\d+[KMGT]?$", "", gres)),
    )


def _find_programs(requests: Collection[Request], status_command: str | None) -> None:
    if not shutil.which("sbatch"):
        raise UserError(
            "no sbatch on PATH: `--profile slurm` needs Slurm; run it on a machine that can submit jobs, or run "
            "`snakemake --cores all` without the profile to compute here"
        )
    if not shutil.which("sinfo"):
        raise UserError("no sinfo on PATH: `--profile slurm` needs Slurm's client programs")
    # Without sacct the plugin falls back to squeue, but not the other way round.
    followers = ("squeue",) if status_command == "squeue" else ("sacct", "squeue")
    if not any(map(shutil.which, followers)):
        raise UserError(f"no {' or '.join(followers)} on PATH: Snakemake would never notice that a job has ended")
    if any(request.accounts is None for request in requests) and not shutil.which("sacct"):
        raise UserError(
            f"no sacct on PATH: the Slurm plugin needs it to find your default account; set slurm_account in {PROFILE}"
        )
    if any(request.accounts for request in requests) and not shutil.which("sacctmgr"):
        raise UserError(f"no sacctmgr on PATH: the Slurm plugin needs it to check slurm_account in {PROFILE}")


def _partitions() -> dict[str, Partition]:
    """The cluster's partitions by name; empty if sinfo prints something unexpected."""
    answer = _ask("sinfo", "--all", "--noheader", "--format=%P|%D|%G")
    if answer.returncode:
        raise UserError(f"Slurm does not answer: {_last_line(answer.stderr)}; try again when sinfo works")
    found: dict[str, Partition] = {}
    for words in (line.strip().split("|") for line in answer.stdout.splitlines()):
        if len(words) == 3:
            name = words[0].removesuffix("*")  # marks the default partition
            before = found.get(name, Partition())
            found[name] = Partition(before.gres | _gres(words[2]), before.has_nodes or words[1] != "0")
    return found


def _gres(listed: str) -> frozenset[str]:
    """Parses a list of sinfo: `gpu:a100:4(S:0-1),shard:8` becomes {gpu, gpu:a100, shard}."""
    found = set()
    for item in re.sub(r"\([^)]*\)", "", listed).lower().split(","):
        kind = re.sub(r":\d+[kmgt]?$", "", item)
        found |= {kind, kind.partition(":")[0]} - {""}
    return frozenset(found)


def _check_account(account: str) -> None:
    """Checks the account in the same way as the executor plugin, so that both give the same answer."""
    user = _ask("sacctmgr", "-n", "-s", "list", "user", getpass.getuser(), "format=account%256")
    accounts = _lines(user)
    if not accounts:
        if not shutil.which("sshare"):
            raise UserError(f"no sshare on PATH: the Slurm plugin needs it to check slurm_account in {PROFILE}")
        share = _ask("sshare", "-U", "--format", "Account%256", "--noheader")
        if share.returncode:
            raise UserError(
                f"account {account!r} cannot be checked: {_last_line(user.stderr + share.stderr)}; if your cluster has no "
                f"accounts, remove slurm_account from {PROFILE}"
            )
        accounts = _lines(share)
    if accounts and account.lower() not in accounts:
        raise UserError(
            f"account {account!r} is not one of yours: {', '.join(sorted(accounts))}; set slurm_account in {PROFILE}"
        )


def _check_partitions(request: Request, partitions: Mapping[str, Partition]) -> None:
    for name in _names(request.partitions):
        if partitions and name not in partitions:
            raise UserError(
                f"partition {name!r} is not one of this cluster's: {', '.join(sorted(partitions))}; "
                f"set slurm_partition in {PROFILE}"
            )


def _check_gres(request: Request, partitions: Mapping[str, Partition]) -> None:
    """Checks that a partition has the resource. For a job without a partition, any will do, because sites route such jobs."""
    wanted = (request.gres or "").lower()
    names = _names(request.partitions) or sorted(partitions)
    asked = [partitions[name] for name in names if name in partitions]
    if not wanted or not asked or not all(partition.has_nodes for partition in asked):
        return
    offered = sorted(frozenset[str]().union(*(partition.gres for partition in asked)))
    if wanted in offered:
        return
    place = f"partition {request.partitions!r}" if request.partitions else "this cluster"
    others = ", ".join(sorted(name for name, partition in partitions.items() if wanted in partition.gres))
    raise UserError(
        f"gres {request.gres!r}: {place} has {', '.join(offered) or 'none'}{f'; partitions with it: {others}' * bool(others)}; "
        f"set slurm_partition, gpu_model or gres in {PROFILE}, or `gpu: 0` for jobs without a GPU"
    )


def _check_accounting() -> None:
    answer = _ask("sacct", "--allocations", "--noheader", "--format=JobIDRaw", "--starttime=now")
    if answer.returncode:
        raise UserError(
            f"sacct: {_last_line(answer.stderr)}; Snakemake would never notice that a job has ended; "
            f"set `slurm-status-command: squeue` in {PROFILE}"
        )


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]} did not answer within {SECONDS} s; try again when Slurm is up") from None


def _text(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def _names(listed: str | None) -> list[str]:
    return [name for name in re.split(r"[,\s]+", listed or "") if name]


def _lines(answer: subprocess.CompletedProcess[str]) -> set[str]:
    return set() if answer.returncode else {line.strip().lower() for line in answer.stdout.splitlines() if line.strip()}


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason given")
