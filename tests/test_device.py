"""Which device a job takes, and when it refuses to compute on a CPU."""

import pytest
import torch

from cocoop.device import allocated, choose
from cocoop.errors import UserError


@pytest.fixture
def no_gpu(monkeypatch):
    """A machine where torch finds no GPU, outside any scheduler's job."""
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS"):
        monkeypatch.setenv(name, "")  # so that it is also restored if it was not set, and is set meanwhile
        monkeypatch.delenv(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return monkeypatch


@pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS"])
@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_a_gpu_that_was_given_and_cannot_be_used_is_an_error(no_gpu, name, wanted):
    no_gpu.setenv(name, "0")
    no_gpu.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(UserError) as caught:
        choose(wanted)
    said = str(caught.value)
    assert said.startswith(
        f"device '{wanted}': this job has a GPU ({name}=0), but torch {torch.__version__} cannot use it: "
    )
    assert "the driver is probably too old: CUDA 13.0 needs 580 or newer (`nvidia-smi` shows yours)." in said
    assert "device: cpu" in said
    assert "\n" not in said


def test_a_torch_without_cuda_is_named(no_gpu):
    no_gpu.setenv("CUDA_VISIBLE_DEVICES", "0")
    no_gpu.setattr(torch.version, "cuda", None)
    with pytest.raises(UserError, match="cannot use it: it was built without CUDA"):
        choose("auto")


def test_cpu_is_an_explicit_wish(no_gpu):
    no_gpu.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert choose("cpu") == "cpu"


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])
def test_a_job_without_a_gpu_takes_the_cpu(no_gpu, hidden):
    """Slurm's jobs with `gpu: 0`, and users who hide their GPU: CUDA_VISIBLE_DEVICES is what torch follows."""
    assert choose("auto") == "cpu"
    no_gpu.setenv("SLURM_JOB_GPUS", "0")
    no_gpu.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert allocated() == ""
    assert choose("auto") == "cpu"
