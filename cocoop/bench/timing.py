"""Measures both sides alternately, and the peak speed of matrix products on this machine."""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch

PEAK_SHAPES = {"cpu": ((1024, 1024, 1024), (2048, 2048, 2048), (450, 512, 2048)), "cuda": ((4096,) * 3, (8192,) * 3)}
PEAK_REPEATS = 8
FAST_PER_LITERAL = 3


def seconds(run: Callable[[], Any], device: str) -> float:
    """Wall-clock time of one call in seconds; on a GPU, between two events of its stream."""
    if device != "cuda":
        now = time.perf_counter()
        run()
        return time.perf_counter() - now
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000


def in_turn(
    literal: Callable[[], Any] | None, fast: Callable[[], Any], repeats: int, device: str, seeds: int = 1
) -> dict[str, float]:
    """Median seconds of each side, measured alternately so that disturbances affect both. Both must have run before.

    seeds: how many steps a literal call takes; the total of these steps is as with one seed, but each call happens at least once.
    """
    found: dict[str, list[float]] = {"literal": [], "fast": []}
    for _ in range(max(1, repeats // seeds)):
        if literal:
            found["literal"].append(seconds(literal, device))
        found["fast"] += [seconds(fast, device) for _ in range(FAST_PER_LITERAL * seeds)]
    return {side: median(times) for side, times in found.items() if times}


def peak_flops(device: str, precision: str) -> float:
    """Peak operations per second of a matrix product: the best of several shapes and repeats."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    best = 0.0
    for m, k, n in PEAK_SHAPES[device]:
        a, b = torch.ones(m, k, dtype=dtype, device=device), torch.ones(k, n, dtype=dtype, device=device)
        took = min(seconds(partial(torch.matmul, a, b), device) for _ in range(PEAK_REPEATS))
        best = max(best, 2 * m * k * n / took)
    return best
