"""Jobs that a real Slurm does not accept: those it can be asked about stop Snakemake at once, of the others it says why."""

import re
import time

import pytest

from tests.slurm.conftest import BASE_TO_NEW, VARIANTS

pytestmark = pytest.mark.slurm
CONTENT = {
    "variants": VARIANTS,
    "experiments": {"base_to_new": BASE_TO_NEW | {"train_datasets": ["first"], "variants": ["coop"]}},
}


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        ({"slurm_partition": "gpuu"}, "error: partition 'gpuu' is not one of this cluster's: only; set slurm_partition in"),
        ({"gpu_model": "a100"}, "error: gres 'gpu:a100': this cluster has gpu, gpu:pretend; set slurm_partition,"),
    ],
)  # fmt: skip
def test_unknown_names_stop_snakemake_before_any_job(cluster, make_clone, default, expected):
    clone = make_clone("unknown", CONTENT)
    clone.edit_profile({}, **default)
    assert clone.snakemake().wait(60) == 2
    assert clone.log().strip().splitlines()[-1].startswith(expected)
    assert not cluster.submitted(clone.folder) and not (clone.folder / "results").exists()


def test_controller_that_is_down_stops_snakemake(cluster, make_clone, tmp_path, monkeypatch):
    clone, stopped = make_clone("down", CONTENT), tmp_path / "slurm.conf"
    stopped.write_text(re.sub(r"(?m)^SlurmctldPort=.*", "SlurmctldPort=1", cluster.configuration.read_text()))
    monkeypatch.setitem(cluster.environment, "SLURM_CONF", str(stopped))
    begun = time.monotonic()
    assert clone.snakemake().wait(120) == 2
    assert time.monotonic() - begun < 90
    last = clone.log().strip().splitlines()[-1]
    assert last.startswith(("error: Slurm does not answer: ", "error: sinfo did not answer within "))


def test_accounting_that_is_disabled_stops_snakemake(make_clone):
    """Snakemake would ask sacct, which knows no job here, for ever."""
    clone = make_clone("accounting", CONTENT)
    assert clone.snakemake("--slurm-status-command", "sacct").wait(60) == 2
    last = clone.log().strip().splitlines()[-1]
    assert last.startswith("error: sacct: Slurm accounting storage is disabled; ") and "squeue" in last


def test_words_of_sbatch_name_what_it_refused(make_clone):
    """More memory than any node has: of `features`, a job of its own, and of `views`, a group."""
    clone = make_clone("memory", CONTENT)
    clone.edit_profile({"features": {"mem_mb": 10**9}, "views": {"mem_mb": 10**9}})
    assert clone.snakemake("--retries", "0").wait(300) == 1
    failed = re.findall(r"^failed: (\w+) .*: not accepted by sbatch: (.*)", clone.log(), re.MULTILINE)
    assert {stage for stage, _ in failed} == {"features", "views"}
    assert {words.partition(":")[0] for _, words in failed} == {"Requested node configuration is not available"}
    assert clone.status()["failed"] == len(failed) == 2
