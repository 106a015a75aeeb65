"""Every byte-level mutation of a result file is detected with a message that names the file, or changes nothing."""

import shutil

import numpy as np
import pytest
import torch

from cocoop import io
from cocoop.manifest import Manifest
from cocoop.reporting.records import records as results
from cocoop.splits import load_few_shot
from tests.faults import processes
from tests.faults.mutations import fuzz

MUTATIONS, MUTATIONS_IN_CI = 2000, 60
TENSORS = {
    "features.safetensors": "features",
    "views.safetensors": "views",
    "run/learned.safetensors": "learned",
    "test/predictions.safetensors": "predictions",
    "run/checkpoint.safetensors": "checkpoint",
    "text_tower.safetensors": "text-tower",
}
OBJECTS = {
    "manifest.json": Manifest.load,
    "fewshot1.json": load_few_shot,
    "test/metrics.json": lambda path: io.read_json(path, "metrics"),
    "experiment.json": lambda path: io.read_json(path, "experiment"),
    "run/cost.json": lambda path: io.read_json(path, "cost"),
    "records.csv": lambda path: results.load(path).to_csv(),  # as text, because missing numbers are not equal
}


@pytest.fixture(scope="module")
def copy(world, made, tmp_path_factory):
    """The finished files, to be damaged; with the checkpoint of a training that was killed."""
    folder = tmp_path_factory.mktemp("files") / "made"
    shutil.copytree(made, folder)
    stage = processes.Stage(world.arguments("train", folder / "killed", made), folder / "x.log")
    checkpoint = folder / "killed/run/checkpoint.safetensors"
    while not checkpoint.exists() and stage.process.is_alive():
        stage.process.join(0.002)
    stage.kill_after(0)
    checkpoint.replace(folder / "run/checkpoint.safetensors")
    return folder


def same_tensors(found, expected) -> bool:
    tensors, metadata = zip(found, expected, strict=True)
    return metadata[0] == metadata[1] and tensors[0].keys() == tensors[1].keys() and all(
        _same(tensors[0][name], tensors[1][name]) for name in tensors[0]
    )  # fmt: skip


def _same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    return one.dtype == other.dtype and np.array_equal(one, other)


@pytest.mark.parametrize("name", TENSORS)
def test_tensors(name, copy, full, figures):
    kind = TENSORS[name]
    topic = f"mutated bytes: {kind} safetensors"
    big = name == "text_tower.safetensors"
    number = (MUTATIONS // 4 if big else MUTATIONS) if full else (MUTATIONS_IN_CI // (6 if big else 1))
    bad = fuzz(
        copy / name,
        lambda path: io.read_tensors(path, kind),
        same_tensors,
        number,
        lambda what: figures.add(topic, what),
    )
    assert not bad, bad[:5]


def test_tensors_without_torch(copy, full, figures):
    bad = fuzz(
        copy / "test/predictions.safetensors", lambda path: io.read_arrays(path, "predictions"), same_tensors,
        MUTATIONS if full else MUTATIONS_IN_CI, lambda what: figures.add("mutated bytes: predictions, read as arrays", what),
    )  # fmt: skip
    assert not bad, bad[:5]


@pytest.mark.parametrize("name", OBJECTS)
def test_objects(name, copy, full, figures):
    file = name.split("/")[-1]
    topic = (
        f"mutated bytes: {file.removesuffix('.json').rstrip('1')} JSON" if ".json" in file else f"mutated bytes: {file}"
    )
    bad = fuzz(
        copy / name, OBJECTS[name], lambda a, b: a == b, MUTATIONS if full else MUTATIONS_IN_CI,
        lambda what: figures.add(topic, what),
    )  # fmt: skip
    assert not bad, bad[:5]


def test_every_single_bit_of_a_learned_file(copy, full, figures):
    """No sampling: each bit (in CI each 97th) of a whole file, alone."""
    path = copy / "run/learned.safetensors"
    content = path.read_bytes()
    expected, bad = io.read_tensors(path, "learned"), []
    from tests.faults.mutations import judge

    for bit in range(0, 8 * len(content), 7 if full else 997):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        outcome = judge(lambda p: io.read_tensors(p, "learned"), path, expected, same_tensors)
        figures.add("flipped bits: learned safetensors", "crashed" if outcome.startswith("crashed") else outcome)
        bad += [(bit, outcome)] if outcome.startswith(("crashed", "accepted")) else []
    path.write_bytes(content)
    assert not bad, bad[:5]
