"""Peak memory of one side of a case, measured in a separate process: `python -m cocoop.bench.memory JSON`."""

import ctypes
import gc
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from cocoop.bench.cases import Case
from cocoop.io import REPOSITORY

logger = logging.getLogger(__name__)
RESET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
WARM_UP_CLASSES = 2


def peak_mb(
    case: Case, side: str, device: str, threads: int, geometry: Mapping[str, Any] | None = None
) -> float | None:
    """Peak memory of a step in MB, in addition to the memory of model, inputs and libraries.

    On a CPU, resident memory as reported by Linux (None on other systems); on a GPU, memory allocated by torch.
    """
    asked = {"case": vars(case), "side": side, "device": device, "threads": threads, "geometry": geometry}
    command = [sys.executable, "-m", "cocoop.bench.memory", json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        logger.warning(
            "bench: could not measure memory of the %s side of %s: its process ended with %r", side, case, why
        )
        return None
    return json.loads(done.stdout)


def environment() -> dict[str, str]:
    """The variables of a process that imports this package, wherever it starts."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path}


def measure(case: Case, side: str, device: str, threads: int, geometry: Mapping[str, Any] | None) -> float | None:
    """Measures the same in this process, which must have just started."""
    import torch

    from cocoop.bench.models import model_of

    torch.set_num_threads(threads)
    model = model_of(case.towers, case.precision, device, geometry)
    model.work(replace(case, classes=WARM_UP_CLASSES), side).run()  # loads libraries
    work = model.work(case, side)
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before: float = torch.cuda.memory_allocated()
        work.run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        RESET.write_text("5")  # resets the peak (Linux, proc(5))
        before = _status("VmRSS")
    except (OSError, KeyError):
        return None
    work.run()
    return _status("VmHWM") - before


def _status(field: str) -> float:
    """A field of /proc/self/status, in MB."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines[field].split()[0]) / 1024


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(measure(Case(**asked.pop("case")), **asked)))
