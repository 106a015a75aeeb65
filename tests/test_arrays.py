"""Reading tensors without torch: what io.write_tensors wrote, and nothing that was changed since."""

import numpy as np
import pytest
import torch

from cocoop import io
from cocoop.errors import UserError

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
    arrays, metadata = io.read_arrays(path, "predictions")
    assert metadata == {"kind": "predictions", "settings": {"é": [1]}}
    assert set(arrays) == set(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(arrays[name], tensor.numpy(), strict=True)


def test_a_flipped_bit_is_noticed(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.safetensors: not a valid predictions file"):
        io.read_arrays(path, "predictions")


def test_other_files_are_named(path, tmp_path):
    with pytest.raises(UserError, match="not a valid learned file"):
        io.read_arrays(path, "learned")
    with pytest.raises(UserError, match=r"gone\.safetensors: no such predictions file"):
        io.read_arrays(tmp_path / "gone.safetensors", "predictions")
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(UserError, match="not a valid predictions file"):
        io.read_arrays(tmp_path / "text", "predictions")
