"""The base-to-new experiment in miniature on a real Slurm: what is submitted, and that no disturbance changes a byte."""

import os
import signal
from collections import Counter

import pytest

from tests.slurm.conftest import Clone

pytestmark = pytest.mark.slurm

COOP = {"training": {"epochs": 250, "batch_size": 2}}  # some seconds on one core
BASE_TO_NEW = {"train_datasets": ["first", "second"], "variants": ["clip", "coop"], "shots": [4]}
EXACT = ("learned.safetensors", "history.csv", "metrics.json", "predictions.safetensors")
WAIT = 240.0


@pytest.fixture(scope="module")
def undisturbed(cluster, tmp_path_factory) -> tuple[Clone, int]:
    """A run with one variant that must fail (its loss is not finite); its clone and exit code."""
    content = {
        "variants": {"coop": COOP, "coop_ctx8": {"training": {"lr": 1.0e30, "warmup_epochs": 0}}},
        "experiments": {
            "base_to_new": BASE_TO_NEW,
            "parameter_matched": {"train_datasets": ["first"], "variants": ["coop", "coop_ctx8"], "shots": [4]},
        },
    }
    clone = Clone(tmp_path_factory.mktemp("undisturbed"), cluster, content)
    return clone, clone.snakemake("--retries", "1").wait(WAIT)


def test_every_submission_is_a_group_with_one_gpu(cluster, undisturbed):
    clone, _ = undisturbed
    jobs = cluster.submitted(clone.folder)
    assert {job["TresPerJob"] for job in jobs} == {"gres:gpu:1"}
    assert Counter(job["Comment"].removeprefix("rule_") for job in jobs) == {
        "images_tiny_first_features_views": 1,
        "images_tiny_second_features_views": 1,
        "runs_tiny_first_all_clip_evaluate": 1,
        "runs_tiny_second_all_clip_evaluate": 1,
        "runs_tiny_first_base_coop_evaluate_train": 1,
        "runs_tiny_second_base_coop_evaluate_train": 1,
        "runs_tiny_first_base_coop_ctx8_evaluate_train": 2,  # the first try and one retry
    }, clone.log()


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
    assert (
        f"again:  snakemake --cores all --rerun-incomplete --configfile small.yaml -- results/runs/{run}/learned"
        in last
    )
    assert "alone:  python -m cocoop train --settings" in last
    assert clone.log().count("\nfailed: ") == 1


def test_disturbances_change_no_byte(cluster, undisturbed, tmp_path):
    """Too little memory, preemption and scancel in mid-training, a drained node, Ctrl-C of the head: the same results."""
    clone = Clone(tmp_path, cluster, {"variants": {"coop": COOP}, "experiments": {"base_to_new": BASE_TO_NEW}})
    scarce = "(150 if wildcards.dataset == 'second' else 4000) * attempt ** 4"  # MB; two Snakemakes and torch need more than 150
    options = ("--set-resources", f"features:mem_mb={scarce}", f"views:mem_mb={scarce}")
    run = "tiny/first/base/coop/shots4/seeds1-2"
    checkpoint = clone.folder / f"results/runs/{run}/checkpoint.safetensors"

    def trainings() -> list[dict[str, str]]:
        return cluster.submitted(tmp_path, "first_base_coop")

    head = clone.snakemake(*options)
    cluster.wait(checkpoint.exists, "a checkpoint", WAIT)
    cluster.run("scontrol", "requeue", trainings()[0]["JobId"])
    before = checkpoint.stat().st_mtime_ns
    cluster.wait(lambda: checkpoint.stat().st_mtime_ns > before, "a checkpoint after the preemption", WAIT)
    cluster.run("scancel", trainings()[0]["JobId"])
    cluster.wait(lambda: len(trainings()) == 2, "the retry", WAIT)
    cluster.run("scontrol", "update", f"nodename={cluster.host}", "state=drain", "reason=test")
    os.killpg(head.pid, signal.SIGINT)
    assert head.wait(60) != 0

    finished = {path: path.stat().st_mtime_ns for path in clone.folder.glob("results/features/tiny/*/test.safetensors")}
    assert len(finished) == 2
    head = clone.snakemake(*options)
    cluster.wait(lambda: trainings()[-1]["JobState"] == "PENDING", "a job that waits for the node", WAIT)
    assert cluster.node_state().startswith("drain")
    cluster.run("scontrol", "update", f"nodename={cluster.host}", "state=resume")
    assert head.wait(WAIT) == 0, clone.log()

    images = cluster.submitted(tmp_path, "second_features_views")
    assert [job["MinMemoryNode"] for job in images] == ["150M", "2400M"]
    assert [job["JobState"] == "COMPLETED" for job in images] == [False, True]
    assert [job["JobState"] for job in trainings()] == ["CANCELLED", "CANCELLED", "COMPLETED"]
    assert trainings()[0]["Restarts"] == "1"
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert "continuing after" in (clone.folder / f"results/logs/train/{run}.log").read_text()
    expected = {path: content for path, content in undisturbed[0].results(*EXACT).items() if "coop_ctx8" not in path}
    assert len(expected) == 2 * (2 + 2) + 2 * 2
    assert clone.results(*EXACT) == expected
