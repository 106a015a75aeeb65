"""One cluster for all tests, clones that all hold the same code, and two runs that nothing disturbs: without Slurm, and on it."""

from collections.abc import Callable, Iterator

import pytest

from cocoop import io
from tests.slurm.clone import BASE_TO_NEW, VARIANTS, Clone, copy_code
from tests.slurm.cluster import GPU_MODEL, Cluster, missing

EXACT = ("learned.safetensors", "history.csv", "metrics.json", "predictions.safetensors")
# Each step makes the context a million times longer: after some the loss is not finite.
FAILING = {"lr": 1000, "weight_decay": 1000, "warmup_epochs": 0, "epochs": 20}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster; skips where Slurm is not installed."""
    if lacking := missing():
        pytest.skip(f"Slurm is not installed ({', '.join(lacking)})")
    with Cluster() as running:
        yield running


@pytest.fixture(scope="session")
def make_clone(cluster, tmp_path_factory) -> Iterator[Callable[[str, dict], Clone]]:
    """Makes clones of the repository as it is now: an edit between two of them must not look like a difference in results."""
    source = tmp_path_factory.mktemp("source")
    copy_code(io.REPOSITORY, source)
    clones: list[Clone] = []

    def make(name: str, content: dict) -> Clone:
        clones.append(Clone(tmp_path_factory.mktemp(name), source, cluster, content))
        return clones[-1]

    yield make
    for clone in clones:
        clone.stop()


@pytest.fixture(scope="session")
def expected(make_clone) -> dict[str, bytes]:
    """Results of base-to-new, each stage alone and without Slurm: no profile, no groups."""
    clone = make_clone("alone", {"variants": VARIANTS, "experiments": {"base_to_new": BASE_TO_NEW}})
    clone.without_slurm("results/experiments/base_to_new/records.csv")
    return clone.results(*EXACT)


@pytest.fixture(scope="session")
def undisturbed(make_clone) -> tuple[Clone, int]:
    """Half of it on Slurm, one run with a second test, and one shot of two whose training must fail; the clone and its exit code.

    On a site that names its GPUs with `gpu_model`.
    """
    fewshot = {"training": {"epochs": 5}, "per_shots": {"1": {}, "4": FAILING}}
    content = {
        "variants": VARIANTS | {"coop_fewshot": fewshot},
        "experiments": {
            "base_to_new": BASE_TO_NEW | {"train_datasets": ["first"]},
            "class_incremental": {"train_datasets": ["first"], "variants": ["coop"], "shots": [4]},
            "few_shot_curves": {"train_datasets": ["first"], "variants": ["coop_fewshot"], "shots": [1, 4]},
        },
    }
    clone = make_clone("undisturbed", content)
    clone.edit_profile({}, gpu_model=GPU_MODEL)
    return clone, clone.snakemake("--retries", "1").wait(600)
