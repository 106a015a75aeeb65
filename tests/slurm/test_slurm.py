"""The base-to-new experiment in miniature on a real Slurm: what is submitted, that a failed run fails alone, same bytes."""

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.slurm.cluster import GPU_MODEL
from tests.slurm.conftest import EXACT

pytestmark = pytest.mark.slurm


def name_of(job: dict[str, str]) -> str:
    """The name that Snakemake gave a Slurm job, without the identity of what it makes."""
    return re.sub("_[0-9a-f]{10}$", "", job["Comment"].removeprefix("rule_"))


def test_every_submission_asks_for_one_gpu_and_the_cpus_of_one_part(cluster, undisturbed):
    """Times are the sum over a group's parts, memory is their maximum; both grow with the attempt."""
    clone, _ = undisturbed
    jobs = cluster.submitted(clone.folder)
    assert {job["TresPerJob"] for job in jobs} == {f"gres:gpu:{GPU_MODEL}:1"}
    assert {job["JOB_GRES"] for job in jobs} == {f"gpu:{GPU_MODEL}:1"}
    asked = [
        (
            name_of(job),
            job["TimeLimit"],
            job["MinMemoryNode"],
            int(job["NumCPUs"]),
        )
        for job in jobs
    ]
    expected = [
        ("features_wildcards_tiny_first", "00:20:00", "16000M", 2),
        ("views_tiny_first_base_shots4_seeds1-2_views", "00:20:00", "16000M", 2),
        ("views_tiny_first_all_shots1_seeds1-2_views", "00:20:00", "16000M", 2),
        ("views_tiny_first_all_shots4_seeds1-2_views", "00:20:00", "16000M", 2),
        ("run_tiny_first_all_clip_shots0_seeds0_evaluate", "00:15:00", "16000M", 1),
        ("run_tiny_first_base_coop_shots4_seeds1-2_evaluate_train", "01:15:00", "16000M", 1),  # two tests
        ("run_tiny_first_base_cocoop_shots4_seeds1-2_evaluate_train", "01:00:00", "16000M", 1),
        ("run_tiny_first_all_coop_fewshot_shots1_seeds1-2_evaluate_train", "01:00:00", "16000M", 1),
        ("run_tiny_first_all_coop_fewshot_shots4_seeds1-2_evaluate_train", "01:00:00", "16000M", 1),
        ("run_tiny_first_all_coop_fewshot_shots4_seeds1-2_evaluate_train", "02:00:00", "32000M", 1),  # the retry
    ]
    assert Counter(asked) == Counter(expected), clone.log()


def test_failed_run_takes_no_other_with_it_and_is_named(undisturbed):
    """Of two shots of one variant one diverges: the other, and all other experiments, are whole."""
    clone, code = undisturbed
    assert code == 1
    for experiment in ("base_to_new", "class_incremental"):
        assert (clone.folder / f"results/experiments/{experiment}/tables").is_dir()
    runs = "tiny/first/all/coop_fewshot"
    found = {
        Path(path).relative_to(f"{runs}/shots1/seeds1-2") for path in clone.results(*EXACT) if path.startswith(runs)
    }
    assert {path.name for path in found} == set(EXACT)
    assert clone.log().count("\nfailed: ") == 1
    last = clone.log().rpartition("\nfailed: ")[2]
    run = f"{runs}/shots4/seeds1-2/{clone.run_of('first', 'coop_fewshot').identity}"
    assert last.startswith(
        "train coop_fewshot on first/all, 4 shots, seeds 1-2: train coop_fewshot on first: the loss of seed 1 is "
    )
    assert f"log:    results/logs/train/{run}.log\n" in last
    assert f"again:  snakemake --profile slurm --configfile small.yaml -- results/runs/{run}/learned" in last
    variables = "COCOOP_DEVICE=cpu COCOOP_TEXT_BUDGET_MB=256 COCOOP_IMAGE_STATES_MB=0 COCOOP_OFFLINE=1"
    assert f"alone:  {variables} python -m cocoop train --run" in last
    status = clone.status()
    assert status["failed"] == 1
    assert status["running"] == status["queued"] == 0


def test_grouping_changes_no_byte(undisturbed, expected):
    """CLIP, CoOp and CoCoOp on one dataset, in groups on Slurm and each stage alone without it."""
    found = undisturbed[0].results(*EXACT)
    both = found.keys() & expected.keys()
    assert len(both) == 2 + 4 + 4
    assert {path: found[path] for path in both} == {path: expected[path] for path in both}


def test_device_auto_does_not_compute_on_the_cpu_beside_an_allocated_gpu(cluster):
    """The pretend GPU is one that torch cannot use, like a real one with too old a driver."""
    code = (
        "from cocoop.errors import UserError\nfrom cocoop.device import choose\n"
        "try: print('computes on', choose('auto'))\nexcept UserError as error: print(error)"
    )
    said = cluster.run("srun", "--gpus=1", "--mem=4000", sys.executable, "-c", code)
    assert said.startswith("device 'auto': this job has a GPU (CUDA_VISIBLE_DEVICES=0), but torch ")
