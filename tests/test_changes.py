"""A finished small benchmark, one change, and what a real Snakemake would run: with its memory of the results and without."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from cocoop import io
from tests.test_workflow import REPOSITORY, planned, snakemake

pytestmark = pytest.mark.slow
CONFIG = "config/config.yaml"
SMALL = {
    "seeds": [1],
    "seeds_per_job": 1,
    "views": "plain",
    "device": "cpu",
    "variants": {"coop": {"training": {"epochs": 1}}},
    "experiments": [{"base_to_new": {"train_datasets": ["shapes"], "variants": ["clip", "coop"], "shots": [1]}}],
}
Jobs = dict[str, int]
NOTHING: Jobs = {}
SHOWN = dict.fromkeys(("configuration", "experiment", "collect", "tables", "paired", "figures", "page"), 1)
CLIP = SHOWN | {"evaluate": 1}
COOP = SHOWN | {"train": 1, "evaluate": 1}
VIEWS = COOP | {"views": 1}
DRAW = VIEWS | {"fewshot": 1}
DATASET = DRAW | {"download": 1, "manifest": 1, "features": 1, "evaluate": 2}
BACKBONE = VIEWS | {"text_tower": 1, "features": 1, "evaluate": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A copy of the code and configuration in which the small benchmark has been run. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("changes") / "finished"
    for name in ("cocoop", "config", "workflow"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "environment.yml", folder)
    edit(folder / CONFIG, lambda content: content | SMALL)
    snakemake("--cores", "2", folder=folder)
    return folder


def edit(path: Path, change: Callable[[dict], dict]) -> None:
    path.write_text(yaml.safe_dump(change(io.read_yaml(path)), sort_keys=False))


def settings(file: str, **changes: Any) -> tuple[str, Callable[[Path], None]]:
    return file, lambda path: edit(path, lambda content: content | changes)


def text(file: str, old: str, new: str) -> tuple[str, Callable[[Path], None]]:
    def change(path: Path) -> None:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return file, change


def coop(**changes: Any) -> tuple[str, Callable[[Path], None]]:
    return settings(CONFIG, variants={"coop": {"training": {"epochs": 1}} | changes})


def experiment(**changes: Any) -> tuple[str, Callable[[Path], None]]:
    over = SMALL["experiments"][0]["base_to_new"] | changes
    return settings(CONFIG, experiments=[{"base_to_new": over}])


def other_weights(path: Path) -> None:
    """Another checkpoint takes the place of the first, with the time of a file from long ago, as `mv` and `cp -p` leave it."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    first = sorted(tensors)[0]
    tensors[first] = tensors[first] + 1
    old = path.stat()
    save_file(tensors, path)
    os.utime(path, (old.st_mtime - 1e6, old.st_mtime - 1e6))


CHANGES = {
    "lr": (coop(training={"epochs": 1, "lr": 0.05}), COOP),
    "epochs": (coop(training={"epochs": 60}), COOP),
    "params": (coop(params={"n_ctx": 8, "ctx_init": None}), COOP),
    "seeds": (settings(CONFIG, seeds=[1, 2]), DRAW),
    "views": (settings(CONFIG, views=1), VIEWS),
    "device": (settings(CONFIG, device="auto", text_budget_mb=300, offline=True, forkserver=False), NOTHING),
    "train_datasets": (experiment(train_datasets=["shapes", "digits"]), DATASET),
    "variants": (experiment(variants=["clip"]), SHOWN),
    "shots": (experiment(shots=[2]), DRAW),
    "target_subsets": (experiment(target_subsets=["base"]), SHOWN | {"evaluate": 2}),
    "template": (settings("config/datasets/shapes.yaml", template="a drawing of a {}."), CLIP),
    "title": (settings("config/datasets/shapes.yaml", title="Forms"), SHOWN),
    "licence": (settings("config/datasets/shapes.yaml", licence={"terms": "none"}, manual="x", notes=["y"]), NOTHING),
    "reader": (text("config/datasets/shapes.yaml", "images: images}", "images: images, rename: {a: b}}"), DATASET),
    "label of a variant": (text("config/methods/coop.yaml", "{label: CoOp}", "{label: CoOp again}"), SHOWN),
    "label of the backbone": (settings("config/backbones/tiny.yaml", label="tiny"), SHOWN),
    "precision": (settings("config/backbones/tiny.yaml", precision="bf16"), BACKBONE),
    "weights": (("cocoop/assets/tiny_clip/weights.safetensors", other_weights), BACKBONE),
    "code of a method": (text("cocoop/methods/coop.py", "encoder(self.ctx)", "encoder(-self.ctx)"), COOP),
    "comment in a method": (text("cocoop/methods/coop.py", "\n    def ", "\n    # why\n    def "), NOTHING),
    "number of the paper": (text("config/paper/table1_base_to_new.yaml", "82.69", "82.68"), SHOWN),
}


@contextmanager
def changed(folder: Path, file: str, change: Callable[[Path], None]) -> Iterator[None]:
    """The folder with one file changed, and afterwards as it was, times included."""
    path, kept = folder / file, folder.parent / "kept"
    shutil.copy2(path, kept)
    try:
        change(path)
        yield
    finally:
        shutil.move(kept, path)


@contextmanager
def without_memory(folder: Path) -> Iterator[None]:
    """The folder without Snakemake's memory of its results."""
    shutil.move(folder / ".snakemake", folder.parent / "memory")
    try:
        yield
    finally:
        shutil.rmtree(folder / ".snakemake", ignore_errors=True)
        shutil.move(folder.parent / "memory", folder / ".snakemake")


def dry(folder: Path) -> Jobs:
    """Jobs that Snakemake would run, by rule."""
    done = snakemake("-n", "--cores", "1", folder=folder)
    if "Nothing to be done" in done.stdout + done.stderr:
        return NOTHING
    return {rule: count for rule, count in planned(done.stdout + "\n").items() if rule not in ("all", "total")}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_renews_what_depends_on_it(name, finished):
    (file, change), expected = CHANGES[name]
    with changed(finished, file, change):
        assert dry(finished) == expected
        with without_memory(finished):
            assert dry(finished) == expected
    assert dry(finished) == NOTHING


@pytest.mark.parametrize("memory", [True, False])
def test_a_copied_benchmark_has_nothing_to_do(memory, finished, tmp_path):
    """`cp -a` into another folder, of everything or of what is visible."""
    hidden = None if memory else shutil.ignore_patterns(".snakemake")
    copy = shutil.copytree(finished, tmp_path / "elsewhere", symlinks=True, ignore=hidden)
    assert dry(copy) == NOTHING


def test_results_in_a_fresh_clone_only_need_their_summary(finished, tmp_path):
    """Code and weights are then newer than results and data: no run is made again; what shows them may be."""
    for name in ("cocoop", "config", "workflow", "environment.yml"):
        subprocess.run(["cp", "-r", str(finished / name), str(tmp_path)], check=True)
    for name in ("results", "data"):
        shutil.copytree(finished / name, tmp_path / name, symlinks=True)
    assert set(dry(tmp_path)) <= SHOWN.keys() - {"configuration", "experiment"}


@pytest.mark.parametrize("name", ["epochs", "label of a variant"])
def test_there_and_back_again_without_memory(name, finished, tmp_path):
    """A, B, A, each time without Snakemake's memory: the second A shows what the first did, and trains nothing."""
    folder = shutil.copytree(finished, tmp_path / "here", symlinks=True)
    first = shown(folder)
    (file, change), _ = CHANGES[name]
    with changed(folder, file, change):
        shutil.rmtree(folder / ".snakemake")
        snakemake("--cores", "2", folder=folder)
        assert shown(folder) != first
    shutil.rmtree(folder / ".snakemake")
    assert dry(folder) == SHOWN
    snakemake("--cores", "2", folder=folder)
    assert shown(folder) == first
    assert dry(folder) == NOTHING


def shown(folder: Path) -> dict[str, bytes]:
    """Records and tables of the benchmark."""
    root = folder / "results/experiments"
    paths = [path for path in root.rglob("*") if path.suffix in (".csv", ".md", ".tex") and "paired" not in path.parts]
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(paths)}
