"""Reading tensors without torch: what io.write_tensors wrote, and nothing that was changed since."""

import numpy as np
import pytest
import torch

from cocoop import io
from cocoop.errors import UserError
from cocoop.reporting.records.arrays import read_arrays
from cocoop.reporting.records.jobs import job_of
from tests.reporting.records import made

TENSORS = {
    "b": torch.arange(6, dtype=torch.int32).reshape(2, 3),
    "a": torch.tensor([0.5, -1.0]),
    "empty": torch.zeros(0, dtype=torch.int64),
    "flag": torch.tensor([True, False]),
}


@pytest.fixture
def path(tmp_path):
    io.write_tensors(tmp_path / "x.safetensors", TENSORS, {"kind": "predictions", "settings": {"é": [1]}})
    return tmp_path / "x.safetensors"


def test_arrays_equal_the_tensors(path):
    arrays, metadata = read_arrays(path, "predictions")
    assert metadata == {"kind": "predictions", "settings": {"é": [1]}}
    assert set(arrays) == set(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(arrays[name], tensor.numpy(), strict=True)


def test_a_flipped_bit_is_noticed(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.safetensors: damaged, or no predictions file"):
        read_arrays(path, "predictions")


def test_other_files_are_named(path, tmp_path):
    with pytest.raises(UserError, match="damaged, or no learned file"):
        read_arrays(path, "learned")
    with pytest.raises(UserError, match=r"gone\.safetensors: no such predictions file"):
        read_arrays(tmp_path / "gone.safetensors", "predictions")
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(UserError, match="damaged"):
        read_arrays(tmp_path / "text", "predictions")


def test_a_cost_file_belongs_to_what_stands_beside_it(tmp_path):
    made.results_folder(tmp_path, made.experiment())
    costs = sorted((tmp_path / "results").rglob("cost.json"))
    jobs = [job_of(path) for path in costs]
    assert {(job.stage, job.settings["variant"], job.target) for job in jobs} == {
        *(("evaluate", variant, target) for variant in ("clip", "coop", "cocoop") for target in ("digits", "shapes")),
        *(("train", variant, None) for variant in ("coop", "cocoop")),
    }
    costs[0].with_name("metrics.json").unlink()
    with pytest.raises(UserError, match=r"neither learned\.safetensors nor metrics\.json beside it"):
        job_of(costs[0])
