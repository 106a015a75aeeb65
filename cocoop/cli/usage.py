"""What a stage used: a file for `status` and for users who want to know how much memory and time to ask for."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cocoop import io


def option(parser: Any) -> None:
    """Adds --usage."""
    about = "JSON file to write: seconds (s), CPU seconds (cpu_s) and peak memory in MB (max_rss_mb)"
    parser.add_argument("--usage", type=Path, metavar="PATH", help=about)


@contextmanager
def measured(out: Path | None) -> Iterator[None]:
    """Measures a block, unless it fails, and writes the figures."""
    start, cpu = time.perf_counter(), _cpu_seconds()
    yield
    if out is not None:
        used = {"s": time.perf_counter() - start, "cpu_s": _cpu_seconds() - cpu, "max_rss_mb": _peak_mb()}
        io.write_text(out, io.canonical_json({name: round(value, 3) for name, value in used.items()}) + "\n")


def _cpu_seconds() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def _peak_mb() -> float:
    """Of this process, or of the largest that it started."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
