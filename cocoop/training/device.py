"""Which device a job runs on, how it is made deterministic, and what memory it took."""

import logging
import os
import re
import resource
from collections.abc import Callable
from typing import TypeVar

import torch

from cocoop.errors import UserError

logger = logging.getLogger(__name__)
T = TypeVar("T")


def choose(wanted: str = "auto") -> str:
    """`auto` is cuda if there is one. Sets deterministic algorithms and threads (OMP_NUM_THREADS) in the same place."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda': no CUDA device here; take device: auto or cpu.")
    device = "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(_threads() or os.cpu_count() or 1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    return device


def _threads() -> int:
    """OMP_NUM_THREADS, of a list (one number a level of nesting) the first; 0 if it says nothing."""
    text = os.environ.get("OMP_NUM_THREADS", "").strip() or "0"
    first = text.split(",")[0].strip()
    if not re.fullmatch("[0-9]{1,6}", first):
        raise UserError(f"environment: OMP_NUM_THREADS: {text!r} is no number of threads.")
    return int(first)


def deterministic(step: Callable[[], T], where: str) -> T:
    """A training's first step, with deterministic algorithms alone; where torch has none for an operation, says so and goes on.

    `warn_only` from the start would let attention choose a faster backward pass whose sums change from run to run.
    """
    torch.use_deterministic_algorithms(True)
    try:
        return step()
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        logger.warning("%s: its last digits may change from run to run (%s)", where, str(error).split(". ")[0])
        torch.use_deterministic_algorithms(True, warn_only=True)
        return step()


def peak_gpu_mb(device: torch.device) -> float | None:
    """Most memory allocated on the GPU so far, in MB; None on the CPU."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None


def peak_mb() -> float:
    """Most resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
