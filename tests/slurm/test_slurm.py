"""The base-to-new experiment in miniature on a real Slurm: what is submitted, and that no disturbance changes a byte."""

import os
import re
import signal
from collections import Counter

import pytest

from cocoop.config.jobs import GPU_STAGES
from tests.slurm.clone import BASE_TO_NEW, COOP, Clone

pytestmark = pytest.mark.slurm

EXACT = ("learned.safetensors", "history.csv", "metrics.json", "predictions.safetensors")
WAIT = 300.0


@pytest.fixture(scope="module")
def undisturbed(make_clone) -> tuple[Clone, int]:
    """A run with one variant that must fail (its loss is not finite); its clone and exit code."""
    content = {
        "variants": {"coop": COOP, "coop_ctx8": {"training": {"lr": 1.0e30, "warmup_epochs": 0}}},
        "experiments": {
            "base_to_new": BASE_TO_NEW,
            "parameter_matched": {"train_datasets": ["first"], "variants": ["coop", "coop_ctx8"], "shots": [4]},
        },
    }
    clone = make_clone("undisturbed", content)
    return clone, clone.snakemake("--retries", "1").wait(WAIT)


def test_every_submission_is_a_group_with_one_gpu(cluster, undisturbed):
    """Times are the sum over a group's parts, memory is their maximum; both grow with the attempt."""
    clone, _ = undisturbed
    jobs = cluster.submitted(clone.folder)
    assert {job["TresPerJob"] for job in jobs} == {"gres:gpu:1"}
    asked = [(job["Comment"].removeprefix("rule_"), job["TimeLimit"], job["MinMemoryNode"]) for job in jobs]
    assert Counter(asked) == Counter(
        [
            ("images_tiny_first_features_views", "00:40:00", "16000M"),
            ("images_tiny_second_features_views", "00:40:00", "16000M"),
            ("runs_tiny_first_all_clip_evaluate", "00:15:00", "16000M"),
            ("runs_tiny_second_all_clip_evaluate", "00:15:00", "16000M"),
            ("runs_tiny_first_base_coop_evaluate_train", "01:00:00", "16000M"),
            ("runs_tiny_second_base_coop_evaluate_train", "01:00:00", "16000M"),
            ("runs_tiny_first_base_coop_ctx8_evaluate_train", "01:00:00", "16000M"),
            ("runs_tiny_first_base_coop_ctx8_evaluate_train", "02:00:00", "32000M"),  # the retry
        ]
    ), clone.log()


def test_failed_run_does_not_stop_the_others_and_is_named(undisturbed):
    clone, code = undisturbed
    assert code == 1
    assert (clone.folder / "results/experiments/base_to_new/tables").is_dir()
    last = clone.log().rpartition("\nfailed: ")[2]
    run = "tiny/first/base/coop_ctx8/shots4/seeds1-2"
    assert last.startswith(
        "train coop_ctx8 on first/base, 4 shots, seeds 1-2: train coop_ctx8 on first: the loss of seed 1 is "
    )
    assert f"log:    results/logs/train/{run}.log\n" in last
    assert f"again:  snakemake --profile slurm --configfile small.yaml -- results/runs/{run}/learned" in last
    assert "alone:  COCOOP_DEVICE=cpu COCOOP_TEXT_BUDGET_MB=256 python -m cocoop train --settings" in last
    assert clone.log().count("\nfailed: ") == 1


def test_grouping_changes_no_byte(undisturbed, make_clone):
    """One dataset's CoOp run and its tests, each stage alone and without Slurm."""
    clone = make_clone("alone", {"variants": {"coop": COOP}, "experiments": {"base_to_new": BASE_TO_NEW}})
    run = "tiny/first/base/coop/shots4/seeds1-2"
    clone.without_slurm(f"results/runs/{run}/tests/first/base+new/metrics.json")
    found = clone.results(*EXACT)
    assert len(found) == 4
    assert found == {path: content for path, content in undisturbed[0].results(*EXACT).items() if path.startswith(run)}


def test_disturbances_change_no_byte(cluster, undisturbed, make_clone):
    """Too little memory, preemption and scancel in mid-training, a drained node, Ctrl-C of the head: the same results.

    On a site that asks for GPUs with --gres.
    """
    clone = make_clone("disturbed", {"variants": {"coop": COOP}, "experiments": {"base_to_new": BASE_TO_NEW}})
    scarce = "(150 if wildcards.dataset == 'second' else 4000) * attempt ** 4"  # MB; two Snakemakes and torch need more than 150
    memory = {"features": {"mem_mb": scarce}, "views": {"mem_mb": scarce}}
    clone.edit_profile({rule: {"gpu": 0} | memory.get(rule, {}) for rule in GPU_STAGES}, gres="'gpu:1'")
    run = "tiny/first/base/coop/shots4/seeds1-2"
    checkpoint = clone.folder / f"results/runs/{run}/checkpoint.safetensors"
    log = clone.folder / f"results/logs/train/{run}.log"

    def trainings() -> list[dict[str, str]]:
        return cluster.submitted(clone.folder, "first_base_coop")

    def continued_after() -> int:
        """Epochs that the running attempt found in the checkpoint."""
        found = re.search(r"continuing after (\d+) of 250", log.read_text() if log.exists() else "")
        return int(found[1]) if found else 0

    head = clone.snakemake()
    cluster.wait(checkpoint.exists, "a checkpoint", WAIT)
    cluster.run("scontrol", "requeue", trainings()[0]["JobId"])
    preempted = cluster.wait(continued_after, "the preempted training to continue", WAIT)
    written = checkpoint.stat().st_mtime_ns
    cluster.wait(lambda: checkpoint.stat().st_mtime_ns > written, "another checkpoint", WAIT)
    cluster.run("scancel", trainings()[0]["JobId"])
    cluster.wait(lambda: len(trainings()) == 2, "the retry", WAIT)
    cluster.run("scontrol", "update", f"nodename={cluster.host}", "state=drain", "reason=test")
    os.killpg(head.pid, signal.SIGINT)
    assert head.wait(60) != 0

    encoded = [path for part in ("features", "views") for path in clone.folder.glob(f"results/{part}/**/*.safetensors")]
    finished = {path: path.stat().st_mtime_ns for path in encoded}
    assert len(finished) == 2 * 2
    head = clone.snakemake()
    cluster.wait(lambda: trainings()[-1]["JobState"] == "PENDING", "a job that waits for the node", WAIT)
    assert cluster.node_state().startswith("drain")
    cluster.run("scontrol", "update", f"nodename={cluster.host}", "state=resume")
    assert head.wait(WAIT) == 0, clone.log()

    jobs = cluster.submitted(clone.folder)
    assert {job.get("TresPerNode") for job in jobs} == {"gres:gpu:1"}
    assert not any("TresPerJob" in job for job in jobs)
    images = cluster.submitted(clone.folder, "second_features_views")
    assert [(job["MinMemoryNode"], job["TimeLimit"]) for job in images] == [("150M", "00:40:00"), ("2400M", "01:20:00")]
    assert [job["JobState"] == "COMPLETED" for job in images] == [False, True]
    assert [job["JobState"] for job in trainings()] == ["CANCELLED", "CANCELLED", "COMPLETED"]
    assert trainings()[0]["Restarts"] == "1"
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert continued_after() > preempted
    expected = {path: content for path, content in undisturbed[0].results(*EXACT).items() if "coop_ctx8" not in path}
    assert len(expected) == 2 * (2 + 2) + 2 * 2
    assert clone.results(*EXACT) == expected
