"""Compares what `plan` expects with what a benchmark takes: `python benchmarks/plan_error.py [--configfile FILE]`.

In a temporary folder and on one core: measures the bundled model like `python -m cocoop bench` measures ViT-B/16, with pictures of
the miniature datasets' size; runs a small benchmark (default: base-to-new on digits and shapes, with crops); and prints, for each
stage that needs a GPU elsewhere, the expected phases from these measurements (`measured`) and from the model of a CPU (`modelled`)
beside the CPU seconds in results/usage. Everything is counted in CPU seconds, so other work on the machine matters little.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import torch
import yaml
from tabulate import tabulate

from cocoop import io
from cocoop.bench import images, timing
from cocoop.bench.cases import cases
from cocoop.bench.run import measure
from cocoop.planning import Plan
from cocoop.planning.cost import devices, phases
from cocoop.planning.cost.modelled import Modelled
from cocoop.planning.cost.phases import Phases, Speed
from cocoop.planning.cost.sizes import dataset_sizes
from cocoop.planning.cost.throughput import Throughput
from cocoop.planning.cost.tokens import Counter
from cocoop.planning.cost.work import Estimator
from cocoop.planning.files import plan_of
from cocoop.planning.job import Job
from cocoop.planning.jobs import jobs_of

SMALL = {
    "device": "cpu", "views": 4,
    "variants": {"coop": {"training": {"epochs": 50}}, "cocoop": {"training": {"epochs": 4}}},
    "experiments": {"base_to_new": {"variants": ["clip", "coop", "cocoop"], "train_datasets": ["digits", "shapes"]}},
}  # fmt: skip
PIXELS = 64  # width and height of a miniature's pictures
HEAD = ("stage", "jobs", "from", "floor", "images", "text", "launches", "starts", "expected", "taken", "error")


def bench(plan: Plan, out: Path) -> Path:
    """Writes measurements of the plan's backbone like those of `python -m cocoop bench --json`, in CPU seconds of one thread."""
    spec, size = next((spec, Estimator(plan, {}).backbones[name]) for name, spec in plan.backbones.items())
    assert size.text is not None
    geometry = {"context_length": 77, "vocab_size": 49408, "heads": size.text.width // 64}
    geometry |= {"width": size.text.width, "layers": size.text.layers, "output_dim": size.text.embed_dim}
    clock = SimpleNamespace(perf_counter=time.process_time)
    with patch.object(timing, "time", clock), patch.multiple(images, WIDTH=PIXELS, HEIGHT=PIXELS):
        rows = [found.record() for found in measure(cases("cpu"), "cpu", 3, geometry, memory_of=())]
        pictures = images.measure("cpu", spec).record()
    content = {"where": "CPU, one core", "rows": rows, "images": pictures}
    io.write_json(out, {"schema": 1, "kind": "bench", **content})
    return out


def taken(job: Job) -> float:
    """CPU seconds of a finished job."""
    return yaml.safe_load(Path(str(job.usage)).read_text())["cpu_s"]


def rows_of(jobs: list[Job], counter: Counter, speeds: dict[str, Speed]) -> list[list[object]]:
    """A row for each stage and speed, and the sums."""
    rows: list[list[object]] = []
    for stage in [*dict.fromkeys(job.stage.name for job in jobs), "all"]:
        some = [job for job in jobs if stage in ("all", job.stage.name)]
        used = sum(map(taken, some))
        for name, speed in speeds.items():
            expected: Phases = phases.total(phases.of(job, speed, counter) for job in some)
            assert expected.total is not None
            error = f"{expected.total / used - 1:+.0%}"
            rows.append([stage, len(some), name, *expected[:5], expected.total, used, error])
    return rows


def main(configfiles: list[Path]) -> None:
    """Measures, runs and compares."""
    if not configfiles:
        configfiles = [Path("small.yaml")]
        configfiles[0].write_text(yaml.safe_dump(SMALL))
    path = bench(plan_of(configfiles), Path("bench.json"))
    words = ["--cores", "1", "--quiet", "all", "--configfile", *map(str, configfiles)]
    environment = {**os.environ, "PYTHONPATH": str(io.REPOSITORY)}
    subprocess.run([sys.executable, "-m", "cocoop", "run", *words], env=environment, check=True)
    plan = plan_of(configfiles)  # now with the names of classes
    counter = Counter(Estimator(plan, dataset_sizes(plan, Path())))
    speeds: dict[str, Speed] = {
        "measured": Throughput(path, "fp32"),
        "modelled": Modelled(devices.named("cpu", "fp32"), counter),
    }
    jobs = sorted((job for job in jobs_of(plan) if job.needs_gpu), key=lambda job: job.stage.name)
    print(tabulate(rows_of(jobs, counter, speeds), HEAD, "pipe", floatfmt=".1f"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, nargs="+", default=[])
    given = [path.resolve() for path in parser.parse_args().configfile]
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main(given)
