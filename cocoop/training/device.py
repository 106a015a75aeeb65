"""Which device a job runs on, how it is made deterministic, and what memory it took."""

import os
import resource

import torch

from cocoop.errors import UserError


def choose(wanted: str = "auto") -> str:
    """`auto` is cuda if there is one. Sets deterministic algorithms and threads (OMP_NUM_THREADS) in the same place."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda': no CUDA device here; take device: auto or cpu.")
    device = "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "0")) or os.cpu_count() or 1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    return device


def peak_gpu_mb(device: torch.device) -> float | None:
    """Most memory allocated on the GPU so far, in MB; None on the CPU."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None


def peak_mb() -> float:
    """Most resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
