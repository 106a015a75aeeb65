"""The device of a job, deterministic computation on it, and peak memory."""

import logging
import os
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from cocoop import gpus
from cocoop.errors import UserError
from cocoop.io import canonical_json, sha256_text

logger = logging.getLogger(__name__)
T = TypeVar("T")
OLDEST_DRIVER = 580  # for CUDA 13, which the pinned torch uses (NVIDIA, CUDA Compatibility, table of minor versions)


def choose(wanted: str = "auto") -> str:
    """Returns cuda or cpu, and enables deterministic algorithms and sets the number of threads (OMP_NUM_THREADS).

    wanted: `auto` chooses cuda if it is available.
    Raises a UserError if the job was given a GPU that torch cannot use, rather than computing for days on the CPU.
    """
    if wanted != "cpu" and not torch.cuda.is_available():
        if given := allocated():
            raise UserError(
                f"device {wanted!r}: this job has a GPU ({given}), but torch {torch.__version__} cannot use it: {_reason()}."
                " To compute on the CPU anyway, set device: cpu."
            )
        if wanted == "cuda":
            raise UserError("device 'cuda': this machine has no CUDA device; set device: auto or cpu.")
    device = "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(_threads() or os.cpu_count() or 1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # NaN in every new tensor
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    return device


def allocated() -> str:
    """The GPUs that a scheduler gave this process, as VARIABLE=VALUE; empty if none. An empty CUDA_VISIBLE_DEVICES means none."""
    if gpus.pretended() is not None:
        return ""
    for name in (gpus.VISIBLE, "SLURM_JOB_GPUS"):
        if name in os.environ:
            value = os.environ[name]
            return f"{name}={value}" if value not in gpus.HIDDEN else ""
    return ""


def _reason() -> str:
    if torch.version.cuda is None:
        return "it was built without CUDA"
    needed = (
        f": CUDA {torch.version.cuda} needs {OLDEST_DRIVER} or newer" if torch.version.cuda.startswith("13.") else ""
    )
    return f"the driver is probably too old{needed} (`nvidia-smi` shows yours)"


def _threads() -> int:
    """OMP_NUM_THREADS, or the first number if it is a list (one number per nesting level); 0 if it is not set."""
    text = os.environ.get("OMP_NUM_THREADS", "").strip() or "0"
    first = text.split(",")[0].strip()
    if not re.fullmatch("[0-9]{1,6}", first):
        raise UserError(f"environment: OMP_NUM_THREADS: expected a number of threads, got {text!r}.")
    return int(first)


def deterministic(step: Callable[[], T], where: str) -> T:
    """Runs the first step of a training with only deterministic algorithms.

    If torch has none for an operation, logs a warning and uses a nondeterministic one. Setting `warn_only` from the start would
    let attention choose a faster backward pass whose sums differ between runs.
    """
    torch.use_deterministic_algorithms(True)
    try:
        return step()
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        logger.warning("%s: the last digits may differ between runs (%s)", where, str(error).split(". ")[0])
        torch.use_deterministic_algorithms(True, warn_only=True)
        return step()


@contextmanager
def seeded(device: torch.device, *moment: object) -> Iterator[None]:
    """Runs a block in which torch's random numbers depend only on `moment` (JSON values), and restores their state afterwards."""
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        reseed(device, *moment)
        yield


def reseed(device: torch.device, *moment: object) -> None:
    """Restarts torch's random numbers on the CPU and this device. (`torch.manual_seed` also takes notes for devices not in use.)"""
    number = number_of(*moment)
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.manual_seed(number)


def number_of(*moment: object) -> int:
    """A seed derived from JSON values."""
    return int(sha256_text(canonical_json(moment))[:15], 16)


def card(device: torch.device) -> str | None:
    """The UUID of the GPU, which `nvidia-smi -L` shows after `GPU-` or `MIG-`; None on the CPU."""
    return str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else gpus.pretended()


def peak_gpu_mb(device: torch.device) -> float | None:
    """Peak memory allocated on the GPU so far, in MB; None on the CPU."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None


def peak_mb() -> float:
    """Peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
